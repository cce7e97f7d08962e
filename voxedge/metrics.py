"""Metrics of identification, verification and calibration, in NumPy alone.

Shapes: N trials or clips, K classes. Rates are fractions, not percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]
Booleans = npt.NDArray[np.bool_]


_RIDGE = 1e-3  # of logistic regression, on figures of unit deviation
_STEPS = 50  # of Newton's method


class IntervalDict(TypedDict):
    """An ``Interval`` as JSON holds it."""

    value: float
    low: float
    high: float


class Interval(NamedTuple):
    """A metric with its confidence interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> IntervalDict:
        return {"value": self.value, "low": self.low, "high": self.high}

    def percent(self) -> str:
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def top_k_hits(scores: Floats, labels: Integers, k: int) -> Booleans:
    """Whether the true class is among the k best of the scores [N, K]; [N].

    A tie counts against the true class, so that constant scores are never right. Nor is NaN.
    """
    own = scores[np.arange(len(labels)), labels]
    others = np.sum(scores >= own[:, None], axis=1) - 1  # without the true class itself
    hits: Booleans = (others < k) & np.isfinite(own)
    return hits


def bootstrap(
    values: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
) -> Interval:
    """Mean of values [N] with its percentile bootstrap interval (Efron 1979).

    Args:
        values: one for each clip or trial.
        groups: [N], the speaker of each, say: whole groups are drawn, because the clips of one
            speaker are not independent of each other.
        confidence: probability that the interval covers.
        resamples: bootstrap samples.
        seed: of the draws.

    Raises:
        ValueError: no values.
    """
    numbers = np.asarray(values, np.float64)
    if not len(numbers):
        raise ValueError("no values")
    keys = np.arange(len(numbers)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(keys, weights=numbers)
    counts = np.bincount(keys).astype(np.float64)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(resamples, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(numbers.mean()), float(low), float(high))


def over_speakers(values: npt.ArrayLike, speakers: Sequence[str]) -> Interval:
    """``bootstrap`` over speakers; over the clips where there is one speaker."""
    return bootstrap(values, speakers if len(set(speakers)) > 1 else None)


def accepted(
    scores: Floats, *kinds: Floats | Booleans
) -> tuple[Floats, list[npt.NDArray[np.float64]]]:
    """How much is accepted at each threshold, from nothing to everything.

    Args:
        scores: [N]; what reaches the threshold is accepted.
        kinds: [N] each, how often each trial counts among the trials of a kind.

    Returns:
        The thresholds [T], the first infinite, and for each kind the sums [T].
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)  # of equal scores
    sums = [np.concatenate([[0.0], np.cumsum(kind[order])[ends]]) for kind in kinds]
    return np.append(np.inf, ranked[ends]), sums


def equal_error_rate(scores: Floats, same: Booleans) -> float:
    """Equal error rate: where the miss rate equals the false-alarm rate.

    Args:
        scores: [N], of verification trials; higher means the same speaker.
        same: [N], whether it is the same speaker.

    Raises:
        ValueError: trials of one kind only.
    """
    misses, alarms = _error_rates(scores, same)
    crossing = int(np.argmin(np.abs(misses - alarms)))
    return float((misses[crossing] + alarms[crossing]) / 2)


def min_detection_cost(scores: Floats, same: Booleans, prior: float = 0.01) -> float:
    """Minimum detection cost with both costs 1, normalised by that of the better constant answer.

    From the plan of the NIST 2016 Speaker Recognition Evaluation.

    Args:
        scores: [N], of verification trials; higher means the same speaker.
        same: [N], whether it is the same speaker.
        prior: probability of a trial with the same speaker.
    """
    misses, alarms = _error_rates(scores, same)
    costs = prior * misses + (1 - prior) * alarms
    return float(costs.min() / min(prior, 1 - prior))


class BinDict(TypedDict):
    """A ``Bin`` as JSON holds it."""

    low: float
    high: float
    clips: int
    confidence: float | None
    accuracy: float | None


class Bin(NamedTuple):
    """One bar of a reliability diagram."""

    low: float
    high: float
    clips: int
    confidence: float | None  # mean over the clips of the bin; None where it has none
    accuracy: float | None

    def as_dict(self) -> BinDict:
        return {
            "low": self.low,
            "high": self.high,
            "clips": self.clips,
            "confidence": self.confidence,
            "accuracy": self.accuracy,
        }


def reliability(confidences: Floats, correct: Booleans, bins: int = 15) -> list[Bin]:
    """Mean confidence and accuracy in bins of equal width (Guo et al. 2017).

    Args:
        confidences: [N], the highest probability of each answer.
        correct: [N], whether it is right.
        bins: how many.
    """
    index = np.clip((np.asarray(confidences) * bins).astype(int), 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    sums = np.bincount(index, weights=confidences, minlength=bins)
    hits = np.bincount(index, weights=correct, minlength=bins)
    return [
        Bin(
            k / bins,
            (k + 1) / bins,
            int(count),
            float(sums[k] / count) if count else None,
            float(hits[k] / count) if count else None,
        )
        for k, count in enumerate(counts)
    ]


def calibration_error(confidences: Floats, correct: Booleans, bins: int = 15) -> float:
    """Expected calibration error over equal-width bins (Guo et al. 2017, eq. 3)."""
    return sum(
        abs(row.accuracy - row.confidence) * row.clips / len(confidences)
        for row in reliability(confidences, correct, bins)
        if row.accuracy is not None and row.confidence is not None
    )


def softmax(logits: Floats) -> npt.NDArray[np.float64]:
    """Softmax of [N, K] logits over the classes."""
    shifted = np.asarray(logits, np.float64) - np.max(logits, axis=1, keepdims=True)
    powers = np.exp(shifted)
    result: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return result


def logistic_regression(targets: Floats, others: Floats) -> tuple[Floats, float]:
    """Weights [F] and bias of calibrated log-odds at even odds (Bruemmer and du Preez 2006, Cllr).

    Both kinds of trials weigh the same, however many there are. Newton's method with a small ridge,
    so that kinds which can be told apart without an error have finite weights.

    Args:
        targets: figures [N, F] of trials whose log-odds should be positive.
        others: of those whose log-odds should be negative.
    """
    together = np.concatenate([targets, others])
    mean, deviation = together.mean(axis=0), together.std(axis=0) + 1e-9
    scaled = np.column_stack([(together - mean) / deviation, np.ones(len(together))])
    truth = np.repeat([1.0, 0.0], [len(targets), len(others)])
    share = np.repeat([0.5 / len(targets), 0.5 / len(others)], [len(targets), len(others)])
    ridge = np.diag([*[_RIDGE] * targets.shape[1], 0.0])
    weights = np.zeros(scaled.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(scaled @ weights, -30, 30)))
        slope = scaled.T @ (share * (chance - truth)) + ridge @ weights
        curve = (scaled * (share * chance * (1 - chance))[:, None]).T @ scaled + ridge
        step = np.linalg.solve(curve + 1e-12 * np.eye(len(curve)), slope)
        weights -= step * min(1.0, 5.0 / max(1e-9, float(np.abs(step).max())))
        if float(np.abs(step).max()) < 1e-8:
            break
    own = weights[:-1] / deviation
    return own, float(weights[-1] - own @ mean)


def _error_rates(scores: Floats, same: Booleans) -> tuple[Floats, Floats]:
    """Miss and false-alarm rates at each threshold, from accepting none to accepting all."""
    targets, impostors = int(same.sum()), int((~same).sum())
    if not targets or not impostors:
        raise ValueError("trials of both kinds are needed")
    _, (hits, alarms) = accepted(scores, same, ~same)
    return 1 - hits / targets, alarms / impostors
