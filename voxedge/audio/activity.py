"""Find the frames of a clip that hold speech, so that pauses do not count for its answer.

A detector of energy, as is usual in speaker recognition: a frame is active if its level is close to
that of the loudest frames (Kinnunen and Li 2010, "An overview of text-independent speaker
recognition", use 30 dB; ITU-T P.56 measures the level of speech over its active parts only). Here
it must also stand out from the noise floor, which is a low percentile of the clip's own levels: so
the range may be wide enough for a voice that becomes softer, and a noisy pause is still a pause.

Shapes: S samples of a clip, F frames of 20 ms, A of them active.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples

#: Softer samples hold no speech: a standard deviation of -80 dBFS, about three quantisation steps
#: of 16-bit audio.
LOW_ENERGY_RMS = 1e-4

_FRAMES_PER_SECOND = 50
_BLOCK = 3_000  # frames whose levels are computed at a time, so that memory does not grow
_LOUDEST = 15  # frames, 0.3 s, that may be louder than the reference: clicks, a door
_FLOOR_PERCENTILE = 15  # of the levels
_ABOVE_FLOOR = 10.0  # dB: room noise varies by about as much
_RANGE = 40.0  # dB below the reference: the frames of a voice span 20, and it may become 20 softer
_SURE_RANGE = 10.0  # dB: as close to the reference a frame is active, however high the floor is


@dataclass(frozen=True)
class Activity:
    """Which frames of a clip are active."""

    frame: int  # samples of one
    before: npt.NDArray[np.int64]  # [F + 1], active frames before each frame

    @classmethod
    def of(cls, samples: Samples, rate: int) -> Activity:
        """Find the active frames of samples [S] at ``rate`` Hz; in silence there are none."""
        frame = max(1, rate // _FRAMES_PER_SECOND)
        levels = _levels(samples, frame)
        active = levels >= _threshold(levels)
        return cls(frame, np.append(0, np.cumsum(active, dtype=np.int64)))

    @classmethod
    def within(cls, spans: Iterable[tuple[float, float]], samples: int, rate: int) -> Activity:
        """Take the frames within spans, in seconds, of a clip of so many samples for active.

        A frame is within a span if its middle is.
        """
        frame = max(1, rate // _FRAMES_PER_SECOND)
        middles = (np.arange(samples // frame) + 0.5) * frame / rate
        active = np.zeros(len(middles), np.bool_)
        for start, end in spans:
            active[np.searchsorted(middles, start) : np.searchsorted(middles, end)] = True
        return cls(frame, np.append(0, np.cumsum(active, dtype=np.int64)))

    @property
    def active(self) -> npt.NDArray[np.bool_]:
        """Which frames are active: [F]."""
        return np.diff(self.before) > 0

    def frames(self, samples: Samples) -> Samples:
        """The active frames [A, frame] of the samples [S] that these are the frames of."""
        active = self.active
        frames: Samples = samples[: len(active) * self.frame].reshape(len(active), self.frame)
        return frames[active]

    def count(self, start: int, stop: int) -> int:
        """How many frames are active between two samples."""
        last = len(self.before) - 1
        first, end = min(start // self.frame, last), min(stop // self.frame, last)
        return int(self.before[end] - self.before[first])

    def span(self) -> tuple[int, int] | None:
        """The first active sample, and the one after the last; None in silence."""
        total = self.before[-1]
        if not total:
            return None
        first = int(np.searchsorted(self.before, 1)) - 1
        last = int(np.searchsorted(self.before, total)) - 1
        return first * self.frame, (last + 1) * self.frame


def _levels(samples: Samples, frame: int) -> npt.NDArray[np.float64]:
    """The standard deviation of each whole frame of samples [S], in dB of full scale: [F].

    The deviation, and not the root of the mean square, leaves out a constant.
    """
    count = len(samples) // frame
    frames = samples[: count * frame].reshape(count, frame)
    blocks = (frames[start : start + _BLOCK] for start in range(0, count, _BLOCK))
    variances = [block.var(axis=1, dtype=np.float64) for block in blocks]
    levels: npt.NDArray[np.float64] = 10 * np.log10(np.concatenate([*variances, []]) + 1e-20)
    return levels


def _threshold(levels: npt.NDArray[np.float64]) -> float:
    """The level in dB from which on frames with the levels [F] are active."""
    lowest = float(20 * np.log10(LOW_ENERGY_RMS))
    inaudible = levels < lowest
    if inaudible.all():
        return lowest
    # Long muted or padded stretches say nothing about the noise; the gaps of a noise gate do.
    levels = np.sort(levels[~_long_runs(inaudible, _FRAMES_PER_SECOND)])
    reference = float(levels[-min(_LOUDEST + 1, len(levels))])
    floor = float(np.percentile(levels, _FLOOR_PERCENTILE))
    above_floor = min(floor + _ABOVE_FLOOR, reference - _SURE_RANGE)
    return max(lowest, reference - _RANGE, above_floor)


def _long_runs(flags: npt.NDArray[np.bool_], length: int) -> npt.NDArray[np.bool_]:
    """Which of the flags [F] are set and belong to a run of at least ``length`` that are."""
    ones = np.ones(length)
    last_of_run = np.convolve(flags, ones)[: len(flags)] == length
    within: npt.NDArray[np.bool_] = np.convolve(last_of_run, ones)[length - 1 :] > 0
    return within
