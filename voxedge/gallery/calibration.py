"""How similar strangers are to enrolled people: the table from which thresholds follow.

A threshold depends on the model file. The table holds, for several shares of false acceptances, the
cosine that so many clips of one speaker reach with the mean of three clips of another. In a gallery
of N people a stranger has N chances, so the share that is wanted is divided by N.

The same comparisons, and those of clips with their own speaker's mean, make a cosine a probability:
logistic regression on Cllr (Bruemmer and du Preez 2006).

Shapes: C clips, E embedding, K speakers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from voxedge.errors import CorpusError
from voxedge.inference.scoring import unit_length
from voxedge.metrics import logistic_regression

Floats: TypeAlias = npt.NDArray[np.float32]

RATES = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)  # shares of false acceptances
ENROLLED = 3  # clips of which a speaker's mean is computed
_MOST = 1e4  # log-odds
_LEAST_ERRORS = 3  # pairs of speakers that a share must amount to, for it to be measured


@dataclass(frozen=True)
class LogOdds:
    """Log-odds, at even odds, that a clip is of the person whom it has a cosine with."""

    scale: float  # of the cosine
    offset: float

    def __post_init__(self) -> None:
        if not (0 < self.scale < _MOST and abs(self.offset) < _MOST):  # NaN is refused, too
            raise ValueError("impossible log-odds")

    def of(self, cosine: float, people: int = 1) -> float:
        """The log-odds of a cosine, the largest of those with so many people.

        The prior of a clip being of one of them is even, and shared by all.
        """
        return self.scale * cosine + self.offset - math.log(people)


@dataclass(frozen=True)
class Calibration:
    """Cosines that strangers reach, by share of false acceptances; and log-odds of a cosine."""

    cosines: tuple[float, ...]  # at the first of ``RATES``; at the others too few pairs of speakers
    speakers: int
    clips: int
    corpus: str  # what they are measured on
    odds: LogOdds | None = None  # None: no speaker had two clips, or an earlier version measured

    def __post_init__(self) -> None:
        if not 1 <= len(self.cosines) <= len(RATES) or list(self.cosines) != sorted(self.cosines):
            raise ValueError("impossible cosines of strangers")
        if not -1 <= self.cosines[0] <= self.cosines[-1] <= 1:
            raise ValueError("impossible cosines of strangers")

    @property
    def least(self) -> float:
        """The smallest share that is measured."""
        return RATES[len(self.cosines) - 1]

    def cosine(self, accept: float) -> float:
        """The threshold for a share of false acceptances of one comparison.

        Between two measured shares it is interpolated over their logarithm; beyond them the
        nearest counts.
        """
        rates = np.log(RATES[: len(self.cosines)])
        return float(np.interp(np.log(accept), rates[::-1], self.cosines[::-1]))

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Calibration:
        """Read what ``dataclasses.asdict`` made of one.

        Raises:
            ValueError, KeyError, TypeError: it is none.
        """
        cosines = tuple(float(cosine) for cosine in value["cosines"])
        found = value.get("odds")
        odds = found and LogOdds(float(found["scale"]), float(found["offset"]))
        return cls(cosines, int(value["speakers"]), int(value["clips"]), str(value["corpus"]), odds)


def measure(
    embeddings: Floats,
    speakers: Sequence[str],
    corpus: str,
    groups: Mapping[str, str] | None = None,
) -> Calibration:
    """Measure how similar the clips of each speaker are to the means of the others, and to its own.

    Args:
        embeddings: [C, E], unit length.
        speakers: [C].
        corpus: what they are, for people.
        groups: speakers -> groups; then only speakers of one group are compared. Those who were
            recorded in other ways or languages are easier to tell apart than a gallery's strangers.

    Raises:
        CorpusError: they are too few even for the largest share.
    """
    names, index = np.unique(np.asarray(speakers), return_inverse=True)
    means = np.stack([embeddings[index == k][:ENROLLED].mean(axis=0) for k in range(len(names))])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    cosines = embeddings @ means.T  # [C, K]
    group = np.array([groups[name] if groups else "" for name in names])
    compared = (group[:, None] == group) & ~np.eye(len(names), dtype=bool)  # [K, K]
    others, pairs = cosines[compared[index]], int(compared.sum())
    measured = [rate for rate in RATES if pairs * rate >= _LEAST_ERRORS]
    if not measured:
        raise CorpusError(
            f"{len(names)} speakers are too few to measure how similar strangers are",
            f"at least {_fewest()} are needed",
        )
    found = np.quantile(others, [1 - rate for rate in measured])
    return Calibration(
        tuple(round(float(cosine), 4) for cosine in found),
        len(names),
        len(embeddings),
        corpus,
        _log_odds(_own_cosines(embeddings, index), others),
    )


def _own_cosines(embeddings: Floats, index: npt.NDArray[np.intp]) -> Floats:
    """The cosine of each clip with the mean of the first three other clips of its speaker.

    Clips that are their speaker's only one have none.
    """
    found = []
    for number, speaker in enumerate(index):
        rows = [row for row in np.flatnonzero(index == speaker) if row != number][:ENROLLED]
        if rows:
            found.append(float(embeddings[number] @ unit_length(embeddings[rows].mean(axis=0))))
    return np.array(found, np.float32)


def _log_odds(own: Floats, others: Floats) -> LogOdds | None:
    """Log-odds from the cosines of clips with their own speaker, and with others."""
    if not len(own):
        return None
    (scale,), offset = logistic_regression(own[:, None], others[:, None])
    rounded = (float(f"{scale:.4g}"), float(f"{offset:.4g}"))
    return LogOdds(*rounded) if scale > 0 else None


def _fewest() -> int:
    """Speakers, for the largest share."""
    return next(k for k in range(2, 100) if k * (k - 1) * RATES[0] >= _LEAST_ERRORS)
