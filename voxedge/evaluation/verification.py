"""Do two clips come from one speaker? Embeddings of people that the model was not trained on.

How compact and how far apart the classes of strangers are says what an embedding has learned of
voices in general. Shapes: C clips, E embedding, P pairs of clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from voxedge.audio import load_audio
from voxedge.data.manifest import Clip
from voxedge.errors import AudioError, CorpusError
from voxedge.evaluation.answers import Model
from voxedge.limits import Samples
from voxedge.metrics import equal_error_rate, min_detection_cost
from voxedge.parallel import ordered_map

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
            speakers.append(scores.owner)
            embeddings.append(scores.embedding)
    names, owners, counts = np.unique(speakers, return_inverse=True, return_counts=True)
    if int((counts > 1).sum()) < 2:
        raise CorpusError("two speakers with two usable clips each are needed")
    vectors = np.stack(embeddings)
    cosines = vectors @ vectors.T
    blocks = [np.flatnonzero(owners == index) for index in range(len(names))]
    drawn = np.random.default_rng(0).integers(len(names), size=(_RESAMPLES, len(names)))
    several = counts > 1  # a draw without pairs of both kinds has no error rates
    usable = (choice for choice in drawn if len(set(choice)) > 1 and several[choice].any())
    samples = [_figures(cosines, blocks, choice) for choice in usable]
    found = _figures(cosines, blocks, np.arange(len(names)))
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    same = int(sum(len(block) * (len(block) - 1) // 2 for block in blocks))
    return {
        "speakers": len(names),
        "clips": len(owners),
        "pairs": len(owners) * (len(owners) - 1) // 2,
        "same": same,
    } | {
        name: {"value": value, "low": float(a), "high": float(b)}
        for name, value, a, b in zip(("eer", "min_dcf"), found, low, high, strict=True)
    }


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
