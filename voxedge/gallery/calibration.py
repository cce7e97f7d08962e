"""How similar strangers are to enrolled people: the table from which thresholds follow.

A threshold depends on the model file. The table holds, for several shares of false acceptances, the
cosine that so many clips of one speaker reach with the mean of three clips of another. In a gallery
of N people a stranger has N chances, so the share that is wanted is divided by N.

Shapes: C clips, E embedding, K speakers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from voxedge.errors import CorpusError

Floats: TypeAlias = npt.NDArray[np.float32]

RATES = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)  # shares of false acceptances
ENROLLED = 3  # clips of which a speaker's mean is computed
_LEAST_ERRORS = 3  # pairs of speakers that a share must amount to, for it to be measured


@dataclass(frozen=True)
class Calibration:
    """Cosines that strangers reach, by share of false acceptances."""

    cosines: tuple[float, ...]  # at the first of ``RATES``; at the others too few pairs of speakers
    speakers: int
    clips: int
    corpus: str  # what they are measured on

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
        return cls(cosines, int(value["speakers"]), int(value["clips"]), str(value["corpus"]))


def measure(
    embeddings: Floats,
    speakers: Sequence[str],
    corpus: str,
    groups: Mapping[str, str] | None = None,
) -> Calibration:
    """Measure how similar the clips of each speaker are to the means of the others.

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
        tuple(round(float(cosine), 4) for cosine in found), len(names), len(embeddings), corpus
    )


def _fewest() -> int:
    """Speakers, for the largest share."""
    return next(k for k in range(2, 100) if k * (k - 1) * RATES[0] >= _LEAST_ERRORS)
