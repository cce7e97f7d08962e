"""Speaker verification with the embeddings of speakers that the model was not trained on.

How compact and how far apart the classes of unseen speakers are shows what an embedding has learned
about voices in general. Shapes: C clips, E embedding, K speakers, P pairs of clips.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples
from voxedge.audio.load import Audio
from voxedge.data.clips import Clip
from voxedge.errors import CorpusError
from voxedge.evaluation.clips import decode_clips
from voxedge.evaluation.model import Model
from voxedge.metrics import IntervalDict, bootstrap, equal_error_rate, min_detection_cost
from voxedge.names import speaker_name

SHOTS = (1, 5)  # clips from which a speaker's mean embedding is computed
_RESAMPLES = 200
_CONFIDENCE = 0.95

Floats: TypeAlias = npt.NDArray[np.float32]
Indices: TypeAlias = npt.NDArray[np.intp]


class Spread(TypedDict):
    """Mean and standard deviation."""

    mean: float
    deviation: float


class Cosines(TypedDict):
    """Cosines of the embeddings of two clips."""

    same: Spread  # of one speaker
    different: Spread  # of two speakers


class Verification(TypedDict):
    """How well pairs of clips are verified, and unseen speakers identified from a few clips."""

    speakers: int
    clips: int
    pairs: int
    same: int  # pairs of one speaker
    cosines: Cosines
    shots: dict[str, IntervalDict]  # clips of each speaker -> top-1 accuracy on the other clips
    eer: IntervalDict
    min_dcf: IntervalDict


class _Embedded(NamedTuple):
    """The embeddings of clips, with their speakers."""

    vectors: Floats  # [C, E], unit length
    speaker_index: Indices  # [C]
    counts: Indices  # [K], clips of each speaker


def verify(
    model: Model,
    clips: Sequence[Clip],
    *,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Compute EER and minDCF over all pairs of clips, scored by the cosine of their embeddings.

    Also reports the distribution of these cosines, and ``shots``: how often the nearest of the
    speakers' mean embeddings is the right one. A mean is computed from that many clips of a
    speaker, the first in the order of ``clips``; the others are identified. Speakers without others
    are left out. Intervals are 95 %, by a percentile bootstrap over speakers.

    Args:
        model: what to evaluate.
        clips: with their true speakers.
        workers: decoding threads.
        progress: called with (clips done, all clips).

    Raises:
        CorpusError: the model was trained on one of the speakers, or fewer than two speakers have
            two usable clips each.
    """
    require_unseen(model, clips)
    embedded = _embed(model, clips, workers, progress)
    cosines = embedded.vectors @ embedded.vectors.T
    upper = np.triu_indices(len(cosines), 1)
    same = embedded.speaker_index[upper[0]] == embedded.speaker_index[upper[1]]  # [P]
    pairs = cosines[upper]  # [P]
    eer, min_dcf = _error_rates(cosines, embedded)
    return {
        "speakers": len(embedded.counts),
        "clips": len(cosines),
        "pairs": len(pairs),
        "same": int(same.sum()),
        "cosines": {"same": _spread(pairs[same]), "different": _spread(pairs[~same])},
        "shots": _shots(embedded),
        "eer": eer,
        "min_dcf": min_dcf,
    }


def require_unseen(model: Model, clips: Sequence[Clip]) -> None:
    """Refuse clips of people that a model was trained on.

    Raises:
        CorpusError: it was trained on one of them.
    """
    known = {*model.labels, *map(speaker_name, model.labels)}
    trained_on = sorted({clip.speaker for clip in clips} & known)
    if trained_on:
        raise CorpusError(f"the model was trained on {trained_on[0]}: not an unseen speaker")


def has_pairs(clips: Sequence[Clip]) -> bool:
    """Whether there are two speakers with two clips each, which ``verify`` needs."""
    return sum(count > 1 for count in Counter(clip.speaker for clip in clips).values()) > 1


def _embed(
    model: Model,
    clips: Sequence[Clip],
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> _Embedded:
    def decoded() -> Iterator[tuple[str, Samples]]:
        for clip, audio in decode_clips(clips, model.sample_rate, workers, progress):
            if isinstance(audio, Audio):
                yield clip.speaker, audio.samples

    speakers: list[str] = []
    embeddings: list[Floats] = []
    for scores in model.score(decoded()):
        if scores.windows:
            speakers.append(scores.key)
            embeddings.append(scores.embedding)
    _, speaker_index, counts = np.unique(speakers, return_inverse=True, return_counts=True)
    if int((counts > 1).sum()) < 2:
        raise CorpusError("two speakers with two usable clips each are needed")
    return _Embedded(np.stack(embeddings), speaker_index, counts)


def _error_rates(cosines: Floats, embedded: _Embedded) -> tuple[IntervalDict, IntervalDict]:
    """EER and minDCF with their intervals: cosines [C, C], speakers resampled."""
    speakers = len(embedded.counts)
    clips_of = [np.flatnonzero(embedded.speaker_index == index) for index in range(speakers)]
    draws = np.random.default_rng(0).integers(speakers, size=(_RESAMPLES, speakers))
    has_pairs = embedded.counts > 1  # a draw without pairs of both kinds has no error rates
    usable = (drawn for drawn in draws if len(set(drawn)) > 1 and has_pairs[drawn].any())
    resampled = [_rates_of(cosines, clips_of, drawn) for drawn in usable]
    values = _rates_of(cosines, clips_of, np.arange(speakers))
    tail = (1 - _CONFIDENCE) / 2
    lows, highs = np.quantile(resampled, [tail, 1 - tail], axis=0)
    eer, min_dcf = (
        IntervalDict(value=value, low=float(low), high=float(high))
        for value, low, high in zip(values, lows, highs, strict=True)
    )
    return eer, min_dcf


def _rates_of(
    cosines: Floats, clips_of: Sequence[Indices], drawn: npt.NDArray[np.integer]
) -> tuple[float, float]:
    """EER and minDCF of the drawn speakers, each a row of ``clips_of``.

    Two draws of one speaker are not a pair of different speakers.
    """
    own, other = [], []
    for position, first in enumerate(drawn):
        inside = cosines[np.ix_(clips_of[first], clips_of[first])]
        own.append(inside[np.triu_indices(len(inside), 1)])
        others = [second for second in drawn[position + 1 :] if second != first]
        other += [cosines[np.ix_(clips_of[first], clips_of[second])].ravel() for second in others]
    same, different = np.concatenate(own), np.concatenate(other)
    scores = np.concatenate([same, different])
    truth = np.arange(len(scores)) < len(same)
    return equal_error_rate(scores, truth), min_detection_cost(scores, truth)


def _shots(embedded: _Embedded) -> dict[str, IntervalDict]:
    """Top-1 accuracy of the nearest mean embedding, among speakers with clips to spare."""
    found: dict[str, IntervalDict] = {}
    for shots in SHOTS:
        enough = embedded.counts[embedded.speaker_index] > shots
        if len(set(embedded.speaker_index[enough])) > 1:
            own = np.unique(embedded.speaker_index[enough], return_inverse=True)[1]
            hits, speakers = _nearest(embedded.vectors[enough], own, shots)
            found[str(shots)] = bootstrap(hits, speakers).as_dict()
    return found


def _nearest(
    vectors: Floats, speaker_index: Indices, shots: int
) -> tuple[npt.NDArray[np.bool_], Indices]:
    """Return whether each clip after a speaker's first ``shots`` is identified, and its speaker."""
    order = np.argsort(speaker_index, kind="stable")
    position = np.empty_like(speaker_index)  # of each clip among those of its speaker
    position[order] = np.arange(len(speaker_index)) - np.searchsorted(
        speaker_index[order], speaker_index[order]
    )
    enrolled = position < shots
    means = np.zeros((int(speaker_index.max()) + 1, vectors.shape[1]))
    np.add.at(means, speaker_index[enrolled], vectors[enrolled])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    nearest = (vectors[~enrolled] @ means.T).argmax(axis=1)
    return nearest == speaker_index[~enrolled], speaker_index[~enrolled]


def _spread(values: Floats) -> Spread:
    return {"mean": float(values.mean()), "deviation": float(values.std())}
