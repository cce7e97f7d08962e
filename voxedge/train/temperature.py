"""Temperature scaling: the number that logits are divided by, to calibrate probabilities.

Shapes: N windows, C clips, K classes.
"""

from __future__ import annotations

import numpy as np

from voxedge.inference.scoring import average_over_windows
from voxedge.metrics import Floats, Integers, softmax


def fit_temperature(logits: Floats, labels: Integers, clip_index: Integers | None = None) -> float:
    """Find the T that minimises the cross-entropy of softmax(logits / T) (Guo et al. 2017, 4.2).

    The target probability of the true class is (C + 1) / (C + 2) (Platt 1999, sec. 2.2): with 1, a
    network without a mistake on C clips would become certain of every answer. log T is found by
    golden-section search between T = 0.05 and 20.

    Args:
        logits: [N, K].
        labels: [C].
        clip_index: [N], the clip of each window; None: every window is a clip.
    """
    count = len(labels)
    clips = np.arange(count) if clip_index is None else clip_index
    smoothing = 1 / (count + 2)
    rows, own = np.arange(len(clips)), np.asarray(labels)[clips]

    def cost(log_t: float) -> float:
        probabilities = softmax(logits / np.exp(log_t))
        right = average_over_windows(probabilities[rows, own], clips, count)
        probabilities[rows, own] = 0  # summing the others keeps digits that 1 - right would lose
        wrong = average_over_windows(probabilities.sum(axis=1), clips, count)
        logs = [np.log(np.maximum(each, 1e-300)).sum() for each in (right, wrong)]
        return float(-((1 - smoothing) * logs[0] + smoothing * logs[1]))

    low, high = np.log(0.05), np.log(20.0)
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if cost(left) <= cost(right) else (left, high)
    return round(float(np.exp((low + high) / 2)), 4)
