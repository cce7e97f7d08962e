"""Cut a stream into windows of speech, in constant memory.

A voice activity detector hears the stream as it comes. Some seconds are held, and whenever they
are too many, what lies before a quiet moment is cut. A window never reaches over a pause, where the
speaker may change.

Shapes: S samples, N frames of the detector.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples
from voxedge.audio.resample import Resampler
from voxedge.audio.windows import window_starts
from voxedge.speech.detector import FRAME_SECONDS, SpeechDetector
from voxedge.speech.network import FRAME, RATE
from voxedge.speech.segments import speech_segments

SECONDS = 1.5  # of a window; two overlap by half
#: Seconds: speakers make longer pauses between turns than within one (docs/timeline.md).
MIN_PAUSE = 0.3

_HELD = 60.0  # seconds
_QUIET = 0.5  # seconds, over which the least speech is looked for


class Detector(Protocol):
    """Hears a stream at 16 kHz: ``voxedge.speech.detector.SpeechDetector``."""

    def feed(self, samples: Samples) -> npt.NDArray[np.float32]:
        """The probabilities [N] of speech in the frames that samples [S] complete."""


class Window(NamedTuple):
    """A piece of speech that is embedded."""

    start: float  # seconds
    end: float
    segment: int  # of speech, counted from 0: the windows of one are without a pause


class SpeechWindows:
    """Cuts a stream of samples into windows of speech.

    Args:
        rate: of the samples, Hz.
        detector: of speech.
    """

    def __init__(self, rate: int, detector: Detector | None = None) -> None:
        self.speech = 0.0  # seconds of it so far
        self._rate, self._detector = rate, detector or SpeechDetector()
        self._resampler = Resampler(rate, RATE)
        self._held: list[Samples] = []
        self._probabilities = np.zeros(0, np.float32)  # [N], from the first sample held
        self._cut = 0  # frames before that
        self._segments = 0

    def feed(self, block: Samples) -> Iterator[tuple[Window, Samples]]:
        """Hear more of the stream [S], and yield the windows that are now cut."""
        self._held.append(block)
        self._hear(self._resampler(block))
        while len(self._probabilities) * FRAME_SECONDS >= _HELD:
            yield from self._release(self._quietest())

    def finish(self) -> Iterator[tuple[Window, Samples]]:
        """Yield the windows of what is left: the stream has ended."""
        self._hear(self._resampler(np.zeros(0, np.float32), last=True))
        self._hear(np.zeros(FRAME - 1, np.float32))  # completes the last frame
        yield from self._release(len(self._probabilities))

    def _hear(self, samples: Samples) -> None:
        self._probabilities = np.append(self._probabilities, self._detector.feed(samples))

    def _quietest(self) -> int:
        """The frame in the second half of what is held, about which there is the least speech."""
        half, width = len(self._probabilities) // 2, max(1, round(_QUIET / FRAME_SECONDS))
        around = np.convolve(self._probabilities[half:], np.ones(width), "valid")
        return half + int(around.argmin()) + width // 2

    def _release(self, frames: int) -> Iterator[tuple[Window, Samples]]:
        """Cut so many frames off the beginning of what is held."""
        held = np.concatenate([np.zeros(0, np.float32), *self._held])
        first = self._cut * FRAME_SECONDS
        total = first + len(held) / self._rate
        for segment in speech_segments(self._probabilities[:frames], min_pause=MIN_PAUSE):
            end = min(segment.end, total - first)
            self.speech += end - segment.start
            low, high = (round(seconds * self._rate) for seconds in (segment.start, end))
            size = round(SECONDS * self._rate)
            for start in window_starts(high - low, size):
                samples = held[low + start : min(low + start + size, high)]
                begin = first + (low + start) / self._rate
                yield Window(begin, begin + len(samples) / self._rate, self._segments), samples
            self._segments += 1
        gone = round((self._cut + frames) * FRAME_SECONDS * self._rate) - round(first * self._rate)
        self._held = [held[gone:]]
        self._probabilities = self._probabilities[frames:]
        self._cut += frames
