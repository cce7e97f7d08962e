from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from voxedge.metrics import (
    bootstrap,
    calibration_error,
    equal_error_rate,
    fit_temperature,
    min_detection_cost,
    softmax,
    top_k_hits,
)


def test_top_k_by_hand():
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.4, 0.4, 0.2]])
    labels = np.array([2, 0, 0])
    assert top_k_hits(scores, labels, 1).tolist() == [False, True, False]  # a tie earns nothing
    assert top_k_hits(scores, labels, 2).tolist() == [True, True, True]


def test_constant_and_nan_scores_never_hit():
    labels = np.array([0, 1])
    assert not top_k_hits(np.ones((2, 9)), labels, 5).any()
    assert not top_k_hits(np.full((2, 9), np.nan), labels, 5).any()


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        interval = bootstrap(random.random(200) < 0.8, resamples=300, seed=seed)
        covered += interval.low <= 0.8 <= interval.high
    assert 0.88 <= covered / 200 <= 0.99


def test_clustered_bootstrap_is_wider_where_speakers_differ():
    groups = np.repeat(np.arange(20), 30)
    values = (groups % 2).astype(float)  # a speaker is always right or never
    loose = bootstrap(values)
    clustered = bootstrap(values, groups)
    assert clustered.value == loose.value == 0.5
    assert clustered.high - clustered.low > 3 * (loose.high - loose.low)


def test_bootstrap_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no values"):
        bootstrap([])


def test_equal_error_rate_by_hand():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    same = np.array([1, 1, 0, 1, 0, 1, 0, 0], bool)
    assert equal_error_rate(scores, same) == pytest.approx(0.25)
    assert equal_error_rate(scores, scores > 0.55) == 0
    assert equal_error_rate(np.zeros(8), same) == pytest.approx(0.5)


def test_min_detection_cost_by_hand():
    scores = np.array([4.0, 3.0, 2.0, 1.0])
    same = np.array([1, 0, 1, 0], bool)
    # accept the first only: half the targets missed, no false alarm
    assert min_detection_cost(scores, same, 0.01) == pytest.approx(0.5)
    assert min_detection_cost(scores, np.array([1, 1, 0, 0], bool)) == 0


def test_calibration_error_by_hand():
    confidences = np.array([0.95, 0.95, 0.35, 0.35])
    correct = np.array([True, False, True, False])
    assert calibration_error(confidences, correct, 10) == pytest.approx(0.5 * 0.45 + 0.5 * 0.15)


def test_softmax_survives_large_logits():
    assert softmax(np.array([[1e4, 0.0]])).tolist() == [[1.0, 0.0]]


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


def test_a_few_right_answers_do_not_make_certainty():
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
    assert temperature < fit_temperature(logits, labels[clip_index])  # the mean is less sure
