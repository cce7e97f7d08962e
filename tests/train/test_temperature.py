"""Temperature scaling: the minimum of the cross-entropy, of windows and of clips."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from voxedge.metrics import softmax
from voxedge.train.temperature import fit_temperature


def test_temperature_is_the_minimum_that_scipy_finds():
    random = np.random.default_rng(3)
    labels = random.integers(6, size=400)
    logits = random.normal(0, 3, (400, 6))
    logits[np.arange(400), labels] += 4

    def cost(t):
        right = log_softmax(logits / t, axis=1)[np.arange(400), labels]
        return -(401 / 402 * right + 1 / 402 * np.log1p(-np.exp(right))).sum()

    expected = minimize_scalar(cost, bounds=(0.05, 20), method="bounded").x
    assert fit_temperature(logits, labels) == pytest.approx(expected, rel=1e-3)


def test_a_few_right_answers_give_no_certainty():
    logits = 10.0 * np.eye(4)[np.arange(12) % 4]
    temperature = fit_temperature(logits, np.arange(12) % 4)
    confidence = softmax(logits / temperature).max()
    assert confidence == pytest.approx(13 / 14, abs=0.01)


def test_temperature_of_clips_is_judged_by_the_mean_over_their_windows():
    random = np.random.default_rng(5)
    labels = random.integers(6, size=200)
    clip_index = np.repeat(np.arange(200), 3)
    logits = random.normal(0, 4, (600, 6))
    logits[np.arange(600), labels[clip_index]] += 4
    temperature = fit_temperature(logits, labels, clip_index)

    def cost(t):
        answers = softmax(logits / t).reshape(200, 3, 6).mean(axis=1)
        right = answers[np.arange(200), labels]
        return -(201 / 202 * np.log(right) + 1 / 202 * np.log(1 - right)).sum()

    assert cost(temperature) <= min(cost(0.9 * temperature), cost(1.1 * temperature))
    assert temperature < fit_temperature(logits, labels[clip_index])  # the mean is less confident
