"""Temperature scaling: the number that logits are divided by to calibrate probabilities.

Shapes: N windows, C clips, K classes.
"""

from __future__ import annotations

import numpy as np

from voxedge.inference.scoring import average_over_windows
from voxedge.metrics import Floats, Integers, softmax


def fit_temperature(logits: Floats, labels: Integers, clip_index: Integers | None = None) -> float:
    """The T that minimises the cross-entropy of softmax(logits / T) (Guo et al. 2017, sec. 4.2).

    The true class is held to be right in C + 1 of C + 2 cases, and not to be in one (Platt 1999,
    sec. 2.2): else a network that makes no mistake on C clips would be told that it never will.
    The minimum in log T is found by golden-section search between 0.05 and 20.

    Args:
        logits: [N, K].
        labels: [C].
        clip_index: [N], the clip of each window; without it every row is a clip of its own.
    """
    count = len(labels)
    clips = np.arange(count) if clip_index is None else clip_index
    doubt = 1 / (count + 2)
    rows, own = np.arange(len(clips)), np.asarray(labels)[clips]

    def cost(log_t: float) -> float:
        answers = softmax(logits / np.exp(log_t))
        right = average_over_windows(answers[rows, own], clips, count)
        answers[rows, own] = 0  # what is left is not 1 less that: digits
        wrong = average_over_windows(answers.sum(axis=1), clips, count)
        logs = [np.log(np.maximum(share, 1e-300)).sum() for share in (right, wrong)]
        return float(-((1 - doubt) * logs[0] + doubt * logs[1]))

    low, high = np.log(0.05), np.log(20.0)
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if cost(left) <= cost(right) else (left, high)
    return round(float(np.exp((low + high) / 2)), 4)
