"""Do two clips come from one speaker? Embeddings of people that the model was not trained on.

How compact and how far apart the classes of strangers are says what an embedding has learned of
voices in general. Shapes: C clips, E embedding, K speakers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples
from voxedge.audio.load import load_audio
from voxedge.data.manifest import Clip
from voxedge.errors import AudioError, CorpusError
from voxedge.evaluation.model import Model
from voxedge.metrics import bootstrap, equal_error_rate, min_detection_cost
from voxedge.threads import ordered_map

SHOTS = (1, 5)  # clips by which a stranger is made known
_RESAMPLES = 200
_CONFIDENCE = 0.95


def verify(
    model: Model,
    clips: Sequence[Clip],
    *,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """EER and minDCF over all pairs of clips, scored by the cosine of their embeddings.

    Beside them, how these cosines are spread, and ``shots``: how often the nearest of the speakers'
    mean embeddings is the right one, each mean made of that many clips, the first of each speaker
    in the order of ``clips``, and judged by the others, among the speakers who have more.
    Intervals are 95 %, percentile bootstrap over speakers.

    Raises:
        CorpusError: fewer than two speakers with two usable clips each, or some that the model
            was trained on.
    """
    familiar = sorted({clip.speaker for clip in clips} & set(model.labels))
    if familiar:
        raise CorpusError(f"the model was trained on {familiar[0]}: not an unseen speaker")
    speakers: list[str] = []
    embeddings: list[npt.NDArray[np.float32]] = []
    for scores in model.score(_decoded(clips, model.sample_rate, workers, progress)):
        if scores.windows:
            speakers.append(scores.key)
            embeddings.append(scores.embedding)
    names, speaker_index, counts = np.unique(speakers, return_inverse=True, return_counts=True)
    if int((counts > 1).sum()) < 2:
        raise CorpusError("two speakers with two usable clips each are needed")
    vectors = np.stack(embeddings)
    cosines = vectors @ vectors.T
    blocks = [np.flatnonzero(speaker_index == index) for index in range(len(names))]
    drawn = np.random.default_rng(0).integers(len(names), size=(_RESAMPLES, len(names)))
    several = counts > 1  # a draw without pairs of both kinds has no error rates
    usable = (choice for choice in drawn if len(set(choice)) > 1 and several[choice].any())
    samples = [_figures(cosines, blocks, choice) for choice in usable]
    found = _figures(cosines, blocks, np.arange(len(names)))
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    upper = np.triu_indices(len(speaker_index), 1)
    alike, pairs = speaker_index[upper[0]] == speaker_index[upper[1]], cosines[upper]
    figures: dict[str, Any] = {
        "speakers": len(names),
        "clips": len(speaker_index),
        "pairs": len(pairs),
        "same": int(alike.sum()),
        "cosines": {"same": _spread(pairs[alike]), "different": _spread(pairs[~alike])},
        "shots": {},
    }
    for shots in SHOTS:
        enough = counts[speaker_index] > shots
        if len(set(speaker_index[enough])) > 1:
            own = np.unique(speaker_index[enough], return_inverse=True)[1]
            hits, of = _nearest(vectors[enough], own, shots)
            figures["shots"][str(shots)] = bootstrap(hits, of)._asdict()
    return figures | {
        name: {"value": value, "low": float(a), "high": float(b)}
        for name, value, a, b in zip(("eer", "min_dcf"), found, low, high, strict=True)
    }


def _spread(values: npt.NDArray[np.float32]) -> dict[str, float]:
    return {"mean": float(values.mean()), "deviation": float(values.std())}


def _nearest(
    vectors: npt.NDArray[np.float32], speaker_index: npt.NDArray[np.intp], shots: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
    """Whether each clip that made nobody known is nearest to its own speaker; and its speaker."""
    order = np.argsort(speaker_index, kind="stable")
    turn = np.empty_like(speaker_index)  # of each clip among its speaker's
    turn[order] = np.arange(len(speaker_index)) - np.searchsorted(
        speaker_index[order], speaker_index[order]
    )
    known = turn < shots
    means = np.zeros((int(speaker_index.max()) + 1, vectors.shape[1]))
    np.add.at(means, speaker_index[known], vectors[known])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    nearest = (vectors[~known] @ means.T).argmax(axis=1)
    return nearest == speaker_index[~known], speaker_index[~known]


def _figures(
    cosines: npt.NDArray[np.float32],
    blocks: Sequence[npt.NDArray[np.intp]],
    chosen: npt.NDArray[np.integer],
) -> tuple[float, float]:
    """EER and minDCF of the chosen speakers; two draws of one speaker are no pair of strangers."""
    own, other = [], []
    for turn, first in enumerate(chosen):
        inside = cosines[np.ix_(blocks[first], blocks[first])]
        own.append(inside[np.triu_indices(len(inside), 1)])
        strangers = [second for second in chosen[turn + 1 :] if second != first]
        other += [cosines[np.ix_(blocks[first], blocks[second])].ravel() for second in strangers]
    same, different = np.concatenate(own), np.concatenate(other)
    scores = np.concatenate([same, different])
    truth = np.arange(len(scores)) < len(same)
    return equal_error_rate(scores, truth), min_detection_cost(scores, truth)


def _decoded(
    clips: Sequence[Clip],
    rate: int,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[str, Samples]]:
    def decode(clip: Clip) -> Samples | None:
        try:
            return load_audio(clip.path, rate)
        except AudioError:
            return None

    found = ordered_map(decode, clips, workers)
    for done, (clip, samples) in enumerate(zip(clips, found, strict=True), 1):
        if samples is not None:
            yield clip.speaker, samples
        if progress:
            progress(done, len(clips))
