"""Open-set identification: how often speakers are named right, and how often strangers are named.

A clip is accepted if its score reaches a threshold. Of that follow

- DIR, the detection and identification rate: the share of the speakers' clips that are accepted
  and named right (Phillips et al. 2011, "Evaluation methods in face recognition");
- FRR, the false rejection rate: the share of the speakers' clips that are not accepted;
- FAR, the false acceptance rate: the share of the strangers' clips that are;
- the OSCR curve, DIR over FAR, and its area (Dhamija et al. 2018, "Reducing network
  agnostophobia"; they say CCR and FPR);
- the DET plot, FRR over FAR (Martin et al. 1997, "The DET curve in assessment of detection task
  performance").

Shapes: N clips of speakers, M of strangers, T thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from voxedge.evaluation.answers import Evaluation, Record
from voxedge.inference.open_set import LEAST
from voxedge.metrics import IntervalDict, accepted, over_speakers

#: Of strangers, for which thresholds are judged.
SHARES = (0.1, 0.05, 0.01)

_RESAMPLES = 500
_CONFIDENCE = 0.95
#: FARs of the points of a curve that are kept.
_GRID = np.unique(np.concatenate([[0.0], np.geomspace(1e-3, 1, 40), np.linspace(0, 1, 21)]))

Floats: TypeAlias = npt.NDArray[np.floating]
Booleans: TypeAlias = npt.NDArray[np.bool_]


class Rates(TypedDict):
    """What a threshold does."""

    threshold: float
    dir: IntervalDict
    far: IntervalDict
    frr: IntervalDict


class Point(TypedDict):
    """A threshold on the curves."""

    far: float
    dir: float
    frr: float


class ConditionOpenSet(TypedDict):
    """Open-set identification under one condition; keys of thresholds are shares of strangers."""

    by_file: dict[str, Rates | None]  # thresholds of the model file; None: it has none for a share
    by_unseen: dict[str, Rates | None]  # the least that let no more through; None: too few clips
    oscr_area: IntervalDict
    curve: list[Point]


class OpenSetMeasures(TypedDict):
    """Open-set identification: speakers of the model, and people whom it was not trained on."""

    clips: int
    speakers: int
    unseen_clips: int
    unseen_speakers: int
    score: str  # ``log_odds`` of the model file, or ``best_logit`` where it has none
    conditions: dict[str, ConditionOpenSet]


class Trials(NamedTuple):
    """Scores of clips, and whose they are."""

    known: Floats  # [N]
    right: Booleans  # [N], whether the true speaker is the best
    speakers: Sequence[str]  # N
    strangers: Floats  # [M]
    unseen: Sequence[str]  # M


class Curve(NamedTuple):
    """Rates at each threshold, from that which accepts nobody to that which accepts everybody."""

    thresholds: Floats  # [T], falling; the first is infinite
    far: Floats  # [T]
    dir: Floats  # [T]
    frr: Floats  # [T]

    def at(self, share: float) -> int:
        """The index of the least threshold at which FAR is no more than a share."""
        return int(np.searchsorted(self.far, share * (1 + 1e-9), side="right")) - 1

    @property
    def area(self) -> float:
        """Under DIR over FAR."""
        return float(np.sum(np.diff(self.far) * (self.dir[1:] + self.dir[:-1]) / 2))


def measure_open_set(evaluation: Evaluation) -> OpenSetMeasures:
    """Rates, curves and 95 % intervals (bootstrap over speakers) under each condition.

    Args:
        evaluation: with clips of the model's speakers, and ``unseen`` ones.
    """
    known, unseen = evaluation.known, evaluation.unseen
    return {
        "clips": len(known),
        "speakers": len({record.speaker for record in known}),
        "unseen_clips": len(unseen),
        "unseen_speakers": len({record.speaker for record in unseen}),
        "score": "log_odds" if evaluation.thresholds else "best_logit",
        "conditions": {
            name: _of_condition(_trials(known, unseen, name), evaluation)
            for name in evaluation.conditions
        },
    }


def curve_of(
    trials: Trials, known_weights: Floats | None = None, stranger_weights: Floats | None = None
) -> Curve:
    """The rates at each threshold.

    Args:
        trials: the clips.
        known_weights: [N], how often each of the speakers' clips counts; by default once.
        stranger_weights: [M], each of the strangers'.
    """
    if known_weights is None:
        known_weights = np.ones(len(trials.known))
    if stranger_weights is None:
        stranger_weights = np.ones(len(trials.strangers))
    own, others = np.zeros(len(trials.known)), np.zeros(len(trials.strangers))
    thresholds, (right, detected, passed) = accepted(
        np.concatenate([trials.known, trials.strangers]),
        np.concatenate([known_weights * trials.right, others]),
        np.concatenate([known_weights, others]),
        np.concatenate([own, stranger_weights]),
    )
    total = known_weights.sum()
    return Curve(thresholds, passed / stranger_weights.sum(), right / total, 1 - detected / total)


def _trials(known: Sequence[Record], unseen: Sequence[Record], condition: str) -> Trials:
    def scores(records: Sequence[Record]) -> Floats:
        found = (record.answers[condition].score for record in records)
        return np.array([-np.inf if score is None else score for score in found])

    return Trials(
        scores(known),
        np.array([record.answers[condition].rank == 0 for record in known]),
        [record.speaker for record in known],
        scores(unseen),
        [record.speaker for record in unseen],
    )


def _of_condition(trials: Trials, evaluation: Evaluation) -> ConditionOpenSet:
    curve = curve_of(trials)
    kept = np.unique([curve.at(far) for far in _GRID])
    by_unseen, area = _resampled(trials, curve)
    by_file = {
        key: None if threshold is None else _rates(trials, threshold)
        for key, threshold in evaluation.thresholds.items()
    }
    return {
        "by_file": by_file,
        "by_unseen": by_unseen,
        "oscr_area": area,
        "curve": [
            {"far": float(far), "dir": float(dir_), "frr": float(frr)}
            for far, dir_, frr in zip(
                curve.far[kept], curve.dir[kept], curve.frr[kept], strict=True
            )
        ],
    }


def _rates(trials: Trials, threshold: float) -> Rates:
    """The rates at a threshold that does not depend on the trials."""
    accepted = trials.known >= threshold
    return {
        "threshold": threshold,
        "dir": over_speakers(accepted & trials.right, trials.speakers).as_dict(),
        "far": over_speakers(trials.strangers >= threshold, trials.unseen).as_dict(),
        "frr": over_speakers(~accepted, trials.speakers).as_dict(),
    }


def _resampled(trials: Trials, curve: Curve) -> tuple[dict[str, Rates | None], IntervalDict]:
    """The rates at thresholds by the strangers, and the area of OSCR.

    For the intervals speakers and strangers are drawn anew, and thresholds chosen anew.
    """

    def values(curve: Curve) -> list[list[float]]:
        rows = [[each[curve.at(share)] for share in SHARES] for each in curve[1:]]
        return [*rows, [curve.area] * len(SHARES)]

    random = np.random.default_rng(0)
    known, strangers = (_draws(random, who) for who in (trials.speakers, trials.unseen))
    drawn = [values(curve_of(trials, *each)) for each in zip(known, strangers, strict=True)]
    tail = (1 - _CONFIDENCE) / 2
    figures = zip(values(curve), *np.quantile(drawn, [tail, 1 - tail], axis=0), strict=True)
    far, dir_, frr, area = (
        [
            IntervalDict(value=float(value), low=float(low), high=float(high))
            for value, low, high in zip(*row, strict=True)
        ]
        for row in figures
    )
    found: dict[str, Rates | None] = {}
    for k, share in enumerate(SHARES):
        threshold = float(curve.thresholds[curve.at(share)])
        enough = share * len(trials.strangers) >= LEAST and np.isfinite(threshold)
        found[f"{share:g}"] = (
            {"threshold": threshold, "dir": dir_[k], "far": far[k], "frr": frr[k]}
            if enough
            else None
        )
    return found, area[0]


def _draws(random: np.random.Generator, speakers: Sequence[str]) -> Iterator[Floats]:
    """How often each clip counts, for each resample; of one speaker, clips are drawn."""
    group = np.unique(speakers, return_inverse=True)[1]
    if not group.any():
        group = np.arange(len(speakers))
    groups = int(group.max()) + 1
    counts = random.multinomial(groups, np.full(groups, 1 / groups), size=_RESAMPLES)
    return (row[group].astype(np.float64) for row in counts)
