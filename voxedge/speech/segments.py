"""From probabilities of frames to segments of speech.

The rule of Silero VAD's authors (``get_speech_timestamps``, snakers4/silero-vad): two thresholds, a
least length of speech and of a pause, and some padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from voxedge.speech.detector import FRAME_SECONDS

THRESHOLD = 0.5
#: How far the second threshold lies below the first.
HYSTERESIS = 0.15
MIN_SPEECH, MIN_PAUSE, PADDING = 0.25, 0.1, 0.03  # seconds


class Segment(NamedTuple):
    """A stretch of speech, in seconds from the beginning."""

    start: float
    end: float


def speech_segments(
    probabilities: npt.NDArray[np.float32],
    *,
    threshold: float = THRESHOLD,
    min_speech: float = MIN_SPEECH,
    min_pause: float = MIN_PAUSE,
    padding: float = PADDING,
) -> list[Segment]:
    """Find the segments of speech.

    Args:
        probabilities: [N], of consecutive frames.
        threshold: speech begins with a probability of as much; it ends with one that is lower by
            more than ``HYSTERESIS``, if none of ``threshold`` follows within ``min_pause``.
        min_speech: seconds; segments that are not longer are left out.
        min_pause: seconds.
        padding: seconds that a segment is extended by at both ends; of a pause that is shorter
            than two paddings each neighbour gets half.

    Returns:
        Segments in order, which do not overlap, within N frames.
    """
    runs = [
        Segment(first * FRAME_SECONDS, last * FRAME_SECONDS)
        for first, last in _runs(probabilities, threshold, min_pause)
        if (last - first) * FRAME_SECONDS > min_speech
    ]
    total = len(probabilities) * FRAME_SECONDS
    ends = [-np.inf, *(run.end for run in runs)]
    starts = [*(run.start for run in runs), np.inf]
    gaps = [start - end for end, start in zip(ends, starts, strict=True)]
    return [
        Segment(
            max(0.0, run.start - min(padding, gaps[number] / 2)),
            min(total, run.end + min(padding, gaps[number + 1] / 2)),
        )
        for number, run in enumerate(runs)
    ]


def _runs(
    probabilities: npt.NDArray[np.float32], threshold: float, min_pause: float
) -> Iterator[tuple[int, int]]:
    """Yield the first frame of each run of speech, and the one after its last."""
    least = max(threshold - HYSTERESIS, 0.01)
    start = pause = None  # frames: of the run, of the pause that may end it
    for frame, probability in enumerate(probabilities.tolist()):
        if probability >= threshold:
            pause = None
            start = frame if start is None else start
        elif start is not None and probability < least:
            pause = frame if pause is None else pause
            if (frame - pause) * FRAME_SECONDS >= min_pause:
                yield start, pause
                start = pause = None
    if start is not None:
        yield start, len(probabilities)
