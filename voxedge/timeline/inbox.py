"""What a device has delivered and nobody has taken yet; whether it keeps the rate that it says.

A device's thread puts blocks in, and must never wait; another thread takes them out. Some drivers
deliver 44,100 frames a second as 48,000 ones: voices change their pitch, and nobody is recognised.
So frames are counted against a clock.

Shapes: S samples.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import Condition

import numpy as np

from voxedge.audio.limits import Samples
from voxedge.errors import MicrophoneError

_HELD = 2.0  # seconds; older frames are dropped
_SILENT = 3.0  # seconds without a frame, after which the device is taken for dead
_WATCHED = 4.0  # seconds that are enough for the clock: blocks come up to a tenth late
_TOLERANCE = 0.05  # 44,100 and 48,000 Hz differ by 8 %


class Inbox:
    """A bounded queue of samples.

    Args:
        rate: that the device says, Hz.
        clock: seconds.
    """

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.dropped = 0  # frames that came and were never taken
        self._rate, self._clock = rate, clock
        self._blocks: deque[Samples] = deque()
        self._held = 0
        self._changed = Condition()
        self._error = ""
        self._ended = False
        self._since: float | None = None  # when counting began
        self._counted = 0  # frames since then

    @property
    def full(self) -> bool:
        """Whether half of what is held at most has not been taken."""
        with self._changed:
            return self._held > _HELD / 2 * self._rate

    def put(self, samples: Samples) -> None:
        """Take in the next samples [S] of the device; the oldest go if there are too many."""
        with self._changed:
            self._count(len(samples))
            self._blocks.append(samples)
            self._held += len(samples)
            while self._held > _HELD * self._rate and len(self._blocks) > 1:
                gone = len(self._blocks.popleft())
                self._held -= gone
                self.dropped += gone
            self._changed.notify()

    def end(self, error: str = "") -> None:
        """Say that nothing more will come, and why if it is a fault."""
        with self._changed:
            self._ended, self._error = True, self._error or error
            self._changed.notify()

    def take(self, least: int) -> Samples | None:
        """Wait for at least so many samples, and take all; None at the end.

        Raises:
            MicrophoneError: the device fails, is silent, or has another rate than it says.
        """
        with self._changed:
            while self._held < least and not self._ended and not self._error:
                if not self._changed.wait(_SILENT):
                    raise MicrophoneError(
                        f"the microphone has delivered nothing for {_SILENT:g} s",
                        "see whether another program uses it; voxedge listen --list",
                    )
            if self._error:
                raise MicrophoneError(self._error, "another one: voxedge listen --list")
            if self._held == 0 and self._ended:
                return None
            taken = np.concatenate(list(self._blocks))
            self._blocks.clear()
            self._held = 0
            return taken

    def _count(self, frames: int) -> None:
        """Compare the frames that came with the time that went by."""
        now = self._clock()
        if self._since is None:  # the first block was recorded before
            self._since = now
            return
        self._counted += frames
        seconds = now - self._since
        if seconds < _WATCHED:
            return
        rate = self._counted / seconds
        if abs(rate / self._rate - 1) > _TOLERANCE:
            self._error = (
                f"the microphone says {self._rate} Hz and delivers {rate:.0f} frames a second"
            )
        self._since, self._counted = now, 0
