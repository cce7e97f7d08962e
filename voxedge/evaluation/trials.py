"""Verification of the pairs of a list, such as VoxCeleb1-O: is it the same voice?

A score is the cosine of two clips' embeddings; a clip's is that of all its windows.

Shapes: T trials, C clips, E embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples
from voxedge.data.clips import Clip
from voxedge.data.trials import Trial
from voxedge.errors import AudioError, CorpusError
from voxedge.evaluation.clips import decode_clips
from voxedge.evaluation.model import Model
from voxedge.evaluation.verification import require_unseen
from voxedge.metrics import IntervalDict, equal_error_rate, min_detection_cost

_RESAMPLES = 200
_CONFIDENCE = 0.95


class TrialMeasures(TypedDict):
    """How well the pairs of a list are verified."""

    trials: int
    same: int  # trials of one speaker
    clips: int
    speakers: int
    eer: IntervalDict
    min_dcf: IntervalDict  # at a prior of 0.01


class TrialScores(NamedTuple):
    """The cosines of the trials, and what follows from them."""

    scores: npt.NDArray[np.float32]  # [T]
    measures: TrialMeasures


def clips_of(trials: Sequence[Trial], clips: Sequence[Clip]) -> list[Clip]:
    """The clips of a corpus that trials name.

    Raises:
        CorpusError: one is missing: error rates of other trials would be other figures.
    """
    wanted = {name for trial in trials for name in (trial.first, trial.second)}
    found = [clip for clip in clips if clip.name in wanted]
    if missing := sorted(wanted - {clip.name for clip in found}):
        raise CorpusError(
            f"{len(missing)} of the {len(wanted)} clips of the trials are not in the corpus:"
            f" {missing[0]}",
            "the names of the list must be relative to the corpus: --data D/wav",
        )
    return found


def verify_trials(
    model: Model,
    trials: Sequence[Trial],
    clips: Sequence[Clip],
    *,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> TrialScores:
    """Score trials by cosine: EER and minDCF with 95 % intervals, by a bootstrap over speakers.

    A speaker is drawn with all trials whose first clip is the speaker's.

    Args:
        model: what to evaluate.
        trials: which pairs.
        clips: of all trials, by ``clips_of``.
        workers: decoding threads.
        progress: called with (clips done, all clips).

    Raises:
        CorpusError: the model was trained on one of the speakers, or a clip cannot be used.
    """
    require_unseen(model, clips)
    vectors = _embeddings(model, clips, workers, progress)
    pairs = ((vectors[trial.first], vectors[trial.second]) for trial in trials)
    scores = np.array([first @ second for first, second in pairs], np.float32)
    same = np.array([trial.same for trial in trials])
    speaker_of = {clip.name: clip.speaker for clip in clips}
    first = np.array([speaker_of[trial.first] for trial in trials])
    eer, min_dcf = _with_intervals(scores, same, first)
    measures: TrialMeasures = {
        "trials": len(trials),
        "same": int(same.sum()),
        "clips": len(clips),
        "speakers": len(set(speaker_of.values())),
        "eer": eer,
        "min_dcf": min_dcf,
    }
    return TrialScores(scores, measures)


def _embeddings(
    model: Model,
    clips: Sequence[Clip],
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> Mapping[str, npt.NDArray[np.float32]]:
    """The embedding [E] of each clip, by its name."""

    def decoded() -> Iterator[tuple[str, Samples]]:
        for clip, audio in decode_clips(clips, model.sample_rate, workers, progress):
            if isinstance(audio, AudioError):
                raise CorpusError(f"{clip.name}: {audio}")
            yield clip.name, audio.samples

    vectors = {}
    for scores in model.score(decoded()):
        if not scores.windows:
            raise CorpusError(f"{scores.key}: silence")
        vectors[scores.key] = scores.embedding
    return vectors


def _with_intervals(
    scores: npt.NDArray[np.float32], same: npt.NDArray[np.bool_], speakers: npt.NDArray[np.str_]
) -> tuple[IntervalDict, IntervalDict]:
    """EER and minDCF of trials [T]."""
    names = np.unique(speakers)
    of_speaker = [np.flatnonzero(speakers == name) for name in names]
    values = equal_error_rate(scores, same), min_detection_cost(scores, same)
    resampled = []
    for drawn in np.random.default_rng(0).integers(len(names), size=(_RESAMPLES, len(names))):
        rows = np.concatenate([of_speaker[index] for index in drawn])
        if 0 < same[rows].sum() < len(rows):
            own = scores[rows], same[rows]
            resampled.append((equal_error_rate(*own), min_detection_cost(*own)))
    tail = (1 - _CONFIDENCE) / 2
    lows, highs = np.quantile(resampled or [values], [tail, 1 - tail], axis=0)
    eer, min_dcf = (
        IntervalDict(value=value, low=float(low), high=float(high))
        for value, low, high in zip(values, lows, highs, strict=True)
    )
    return eer, min_dcf
