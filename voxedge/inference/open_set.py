"""Whether a clip is by one of a model file's speakers at all, by the calibration in its metadata.

The log-odds are linear in the best logit, in how far it is above those of the next speakers, and in
the logarithm of the clip's length. The export fits them; a device needs the logits alone.

Shapes: C clips, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from voxedge.errors import ModelError

#: Shares of strangers who may be named, that the export looks for thresholds for.
SHARES = (0.1, 0.05, 0.01, 0.001)
#: Of them, unless another one is asked for.
ACCEPT = 0.05
#: Strangers' clips that a threshold has to let through: fewer are chance, and there is none.
LEAST = 3
#: Speakers behind the best one whose mean logit it is compared with.
RIVALS = 5

_WEIGHTS = ("best", "lead", "log_seconds")


class OpenSetRecord(TypedDict):
    """``thresholds`` of a file's metadata."""

    best: float  # weight of the best logit
    lead: float  # of its distance to the mean of the next five
    log_seconds: float  # of the natural logarithm of the seconds, at most the window's
    bias: float
    accept: dict[str, float | None]  # log-odds by share of strangers; None: too few clips to say
    clips: int  # of strangers, behind the thresholds
    basis: str  # ``speakers``: the file's own, each against the others; or ``impostors``


@dataclass(frozen=True)
class OpenSet:
    """Calibrated log-odds that a clip is by one of the file's speakers, and thresholds of them."""

    weights: tuple[float, float, float]  # of ``figures``
    bias: float
    accept: Mapping[float, float | None]  # share of strangers -> least log-odds
    clips: int
    basis: str

    @classmethod
    def from_metadata(cls, thresholds: Mapping[str, Any]) -> OpenSet | None:
        """Read ``Metadata.thresholds``; None where the file has none.

        Raises:
            ModelError: the values are not what a file has.
        """
        if not thresholds:
            return None
        try:
            weights = tuple(float(thresholds[name]) for name in _WEIGHTS)
            accept = {
                float(share): None if value is None else float(value)
                for share, value in thresholds["accept"].items()
            }
            bias, clips = float(thresholds["bias"]), int(thresholds["clips"])
            basis = str(thresholds["basis"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ModelError("the model file's thresholds are damaged", "export it again") from None
        values = [*weights, bias, *accept, *(v for v in accept.values() if v is not None)]
        if not all(map(math.isfinite, values)):
            raise ModelError("the model file's thresholds are not finite", "export it again")
        return cls((weights[0], weights[1], weights[2]), bias, accept, clips, basis)

    def to_metadata(self) -> OpenSetRecord:
        """As the metadata holds it, rounded so that equal exports give equal bytes."""
        best, lead, log_seconds = (_round(weight) for weight in self.weights)
        return {
            "best": best,
            "lead": lead,
            "log_seconds": log_seconds,
            "bias": _round(self.bias),
            "accept": {
                f"{share:g}": None if value is None else _round(value)
                for share, value in self.accept.items()
            },
            "clips": self.clips,
            "basis": self.basis,
        }

    def log_odds(
        self, logits: npt.NDArray[np.floating], seconds: npt.NDArray[np.floating]
    ) -> npt.NDArray[np.float64]:
        """Log-odds [C] of clips.

        Args:
            logits: [C, K], means over the windows of each clip.
            seconds: [C], of the clips, at most the window's.
        """
        values: npt.NDArray[np.float64] = figures(logits, seconds) @ self.weights + self.bias
        return values

    def threshold(self, share: float) -> float | None:
        """The least log-odds at which no more than a share of strangers is named.

        It is that of the largest share in ``accept`` that is not larger; None if there is none, or
        too few strangers were heard to say.
        """
        stated = [each for each in self.accept if each <= share * (1 + 1e-9)]
        return self.accept[max(stated)] if stated else None


def probability(log_odds: float) -> float:
    """The probability of log-odds."""
    return 1 / (1 + math.exp(-min(700.0, max(-700.0, log_odds))))


def figures(
    logits: npt.NDArray[np.floating], seconds: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """What log-odds are linear in, [C, 3]: best logit, its lead, logarithm of the length.

    Args:
        logits: [C, K]; K is at least 2.
        seconds: [C].
    """
    ordered = np.sort(logits.astype(np.float64), axis=1)[:, ::-1]
    lead = ordered[:, 0] - ordered[:, 1 : 1 + RIVALS].mean(axis=1)
    return np.stack([ordered[:, 0], lead, np.log(seconds)], axis=1)


def _round(value: float) -> float:
    return float(f"{value:.4g}")
