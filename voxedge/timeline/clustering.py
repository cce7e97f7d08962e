"""Group the embeddings of one recording by speaker: agglomerative clustering, from SciPy.

Average linkage of cosines (Müllner 2011, "Modern hierarchical, agglomerative clustering
algorithms"), cut where clusters are less alike than a threshold. Windows of noise, of two voices or
of a cough make small clusters of their own, which are no speakers: the cut is judged by the large
ones, and the windows of the small ones go to the nearest large one, as pyannote does it (Bredin
2023, "pyannote.audio 2.1 speaker diarization pipeline").

Shapes: N windows, E embedding, U units that are clustered, K clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from voxedge.errors import UsageError
from voxedge.inference.scoring import unit_length
from voxedge.install import needs_extra

Floats: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.intp]

LEAST_WINDOWS = 5  # of a cluster that is taken for a speaker: 4.5 s of speech
_MOST_UNITS = 2_000  # that are compared with each other: 16 MB of distances


@dataclass(frozen=True)
class SpeakerCount:
    """How many speakers there may be.

    Raises:
        UsageError: no number is possible.
    """

    least: int = 1
    most: int | None = None  # None: as many as are found

    def __post_init__(self) -> None:
        if self.least < 1 or (self.most is not None and self.most < 1):
            raise UsageError("there is at least one speaker")
        if self.most is not None and self.least > self.most:
            raise UsageError(f"{self.least} to {self.most} speakers: none is possible")

    def allows(self, speakers: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Which of several numbers are possible."""
        most = np.inf if self.most is None else self.most
        possible: npt.NDArray[np.bool_] = (speakers >= self.least) & (speakers <= most)
        return possible


def require_scipy() -> None:
    """Say that SciPy is missing before hours are spent on a recording.

    Raises:
        MissingExtra: it is.
    """
    with needs_extra("timeline"):
        import scipy.cluster.hierarchy  # noqa: F401


def cluster(embeddings: Floats, cosine: float, count: SpeakerCount) -> Labels:
    """Group windows by speaker.

    Args:
        embeddings: [N, E], unit length, in the order of time; at least one.
        cosine: groups whose windows are less alike, on average, are of two speakers.
        count: how many speakers there may be.

    Returns:
        The cluster of each window, [N], from 0 on in order of appearance.

    Raises:
        UsageError: there are fewer windows than speakers.
    """
    if len(embeddings) < count.least:
        windows = f"{len(embeddings)} window{'s' * (len(embeddings) != 1)} of speech"
        raise UsageError(f"{count.least} speakers cannot be told apart in {windows}")
    if len(embeddings) == 1:
        return np.zeros(1, np.intp)
    units = _condensed(embeddings)
    sizes = np.bincount(units)
    means = np.stack([embeddings[units == unit].mean(axis=0) for unit in range(len(sizes))])
    tree = _linkage(means)
    labels = _cut(tree, _merges(tree, sizes, cosine, count))[units]
    return _in_order(_without_small(labels, embeddings, count))


def means_of(embeddings: Floats, labels: Labels) -> Floats:
    """The mean of each cluster [K, E], unit length, of embeddings [N, E] with labels [N]."""
    clusters = range(int(labels.max()) + 1)
    return np.stack([unit_length(embeddings[labels == k].mean(axis=0)) for k in clusters])


def _condensed(embeddings: Floats) -> Labels:
    """A unit for each window: itself; of a long recording the most alike windows share one.

    Distances of all pairs would take gigabytes for hours. So consecutive windows are clustered
    among themselves first, until few enough are left.
    """
    count = len(embeddings)
    if count <= _MOST_UNITS:
        return np.arange(count)
    labels, used = [], 0
    for block in np.array_split(embeddings, -(-count // _MOST_UNITS)):
        wanted = max(1, len(block) * _MOST_UNITS // count)
        labels.append(used + _cut(_linkage(block), len(block) - wanted))
        used += wanted
    return np.concatenate(labels)


def _linkage(means: Floats) -> npt.NDArray[np.float64]:
    """The tree of average linkage, [U - 1, 4], of the means of units [U, E].

    The product of two means that are not scaled is the mean cosine of their windows.
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    distances = means @ means.T  # as large as all embeddings of half an hour: changed in place
    np.subtract(1, distances, out=distances)
    np.maximum(distances, 0, out=distances)
    tree: npt.NDArray[np.float64] = linkage(squareform(distances, checks=False), "average")
    return tree


def _cut(tree: Any, merges: int) -> Labels:  # noqa: ANN401 - [U - 1, 4]
    """The cluster of each unit [U] after so many merges."""
    from scipy.cluster.hierarchy import cut_tree

    units = len(tree) + 1
    labels: Labels = cut_tree(tree, n_clusters=[units - merges])[:, 0].astype(np.intp)
    return labels


def _merges(
    tree: npt.NDArray[np.float64], sizes: Labels, cosine: float, count: SpeakerCount
) -> int:
    """After how many merges of a tree its large clusters are the speakers.

    Those that the threshold gives; if they are too many or too few, the nearest number of merges
    that leaves a possible number.
    """
    large = _large_after(tree, sizes)
    by_threshold = int(np.searchsorted(tree[:, 2], 1 - cosine, side="right"))
    possible = np.flatnonzero(count.allows(np.maximum(large, 1)))
    if len(possible):
        return int(possible[np.abs(possible - by_threshold).argmin()])
    return len(tree) + 1 - count.least  # by the number of clusters, whatever their size


def _large_after(tree: npt.NDArray[np.float64], sizes: Labels) -> Labels:
    """How many clusters of at least ``LEAST_WINDOWS`` there are after 0, 1, ... merges: [U]."""
    held = [*sizes.tolist()]
    large = [sum(size >= LEAST_WINDOWS for size in held)]
    for first, second in tree[:, :2].astype(int).tolist():
        parts = (held[first], held[second])
        held.append(sum(parts))
        change = (held[-1] >= LEAST_WINDOWS) - sum(size >= LEAST_WINDOWS for size in parts)
        large.append(large[-1] + change)
    return np.array(large, np.intp)


def _without_small(labels: Labels, embeddings: Floats, count: SpeakerCount) -> Labels:
    """The labels, with windows of small clusters in the nearest large one.

    If the large ones are fewer than there must be, the largest of the small ones stay.
    """
    sizes = np.bincount(labels)
    large = int((sizes >= LEAST_WINDOWS).sum())
    kept = np.sort(np.argsort(-sizes, kind="stable")[: max(1, large, count.least)])
    means = means_of(embeddings, labels)[kept]
    nearest = kept[(embeddings @ means.T).argmax(axis=1)]
    result: Labels = np.where(np.isin(labels, kept), labels, nearest)
    return result


def _in_order(labels: Labels) -> Labels:
    """The labels, renumbered in order of appearance."""
    _, first, numbers = np.unique(labels, return_index=True, return_inverse=True)
    return first.argsort().argsort()[numbers]
