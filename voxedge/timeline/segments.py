"""From windows of speech and clusters to segments: who speaks at each moment.

Windows overlap, so most moments are in several. Within a stretch of speech a moment's cosine with a
speaker is the mean over its windows, the more weighted the nearer their middle is: one doubtful
window between others changes nothing, and a change of speaker lies half-way between two windows. A
best path through the moments, on which changes cost something, gave the same segments
(docs/experiments/2026-11.md).

Shapes: N windows, M moments of a stretch of speech, K speakers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from voxedge.timeline.windows import Window

MOMENT = 0.1  # seconds
_JOINED = 1e-3  # seconds between two segments that are one
_LEAST_WEIGHT = 1e-3  # of a moment at the edge of a window


class Spoken(NamedTuple):
    """Somebody speaks."""

    start: float  # seconds
    end: float
    speaker: int  # 0 to K - 1


def spoken_segments(windows: Sequence[Window], cosines: npt.NDArray[np.float32]) -> list[Spoken]:
    """Who speaks when: segments in order, which do not overlap.

    Args:
        windows: N, in order.
        cosines: [N, K], of each window with each speaker.
    """
    found: list[Spoken] = []
    pairs = zip(windows, cosines, strict=True)
    for _, group in groupby(pairs, lambda pair: pair[0].segment):
        part = list(group)
        for spoken in _within([w for w, _ in part], np.stack([row for _, row in part])):
            last = found[-1] if found else None
            if last and last.speaker == spoken.speaker and spoken.start - last.end < _JOINED:
                found[-1] = last._replace(end=spoken.end)
            else:
                found.append(spoken)
    return found


def _within(windows: Sequence[Window], cosines: npt.NDArray[np.float32]) -> Iterator[Spoken]:
    """The segments of one stretch of speech."""
    starts, ends = (
        np.array(side) for side in zip(*((w.start, w.end) for w in windows), strict=True)
    )
    start, end = float(starts[0]), float(ends[-1])
    edges = np.linspace(start, end, max(1, round((end - start) / MOMENT)) + 1)
    centers = (edges[:-1, None] + edges[1:, None]) / 2
    distances = np.abs(centers - (starts + ends) / 2) / ((ends - starts) / 2)  # [M, N]
    weights = np.maximum(1 - distances, _LEAST_WEIGHT * (distances <= 1))
    means = weights @ cosines / np.maximum(weights.sum(axis=1, keepdims=True), _LEAST_WEIGHT)
    best = means.argmax(axis=1)
    changes = [0, *(np.flatnonzero(np.diff(best)) + 1).tolist(), len(best)]
    for first, last in pairwise(changes):
        yield Spoken(float(edges[first]), float(edges[last]), int(best[first]))
