"""From windows of speech and clusters to segments: who speaks at each moment.

Windows overlap, so most moments are in several. Within a stretch of speech a moment's cosine with a
speaker is the mean over its windows; the speakers of all moments are the best path through them
(Viterbi 1967), on which each change costs something. So a word is not given to another speaker
because one window is in doubt.

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
CHANGE = 0.2  # what a change of speaker costs, in cosines of moments
_JOINED = 1e-3  # seconds between two segments that are one


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
    within = (starts <= centers) & (centers <= ends)  # [M, N]
    means = within @ cosines / np.maximum(within.sum(axis=1, keepdims=True), 1)
    path = best_path(means, CHANGE)
    changes = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    for first, last in pairwise(changes):
        yield Spoken(float(edges[first]), float(edges[last]), int(path[first]))


def best_path(scores: npt.NDArray[np.floating], change: float) -> npt.NDArray[np.intp]:
    """The speaker of each moment, [M], so that their scores less the changes are most.

    Args:
        scores: [M, K].
        change: what a change of speaker costs.
    """
    totals, origins = scores[0].astype(np.float64), []
    speakers = np.arange(scores.shape[1])
    for moment in scores[1:]:
        best = int(totals.argmax())
        stays = totals >= totals[best] - change
        origins.append(np.where(stays, speakers, best))
        totals = np.where(stays, totals, totals[best] - change) + moment
    path = [int(totals.argmax())]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return np.array(path[::-1], np.intp)
