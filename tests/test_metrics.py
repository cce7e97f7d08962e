from __future__ import annotations

import numpy as np
import pytest

from voxedge.metrics import (
    bootstrap,
    calibration_error,
    equal_error_rate,
    min_detection_cost,
    softmax,
    top_k_hits,
)


def test_top_k_by_hand():
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.4, 0.4, 0.2]])
    labels = np.array([2, 0, 0])
    assert top_k_hits(scores, labels, 1).tolist() == [False, True, False]  # a tie is no hit
    assert top_k_hits(scores, labels, 2).tolist() == [True, True, True]


def test_constant_and_nan_scores_never_hit():
    labels = np.array([0, 1])
    assert not top_k_hits(np.ones((2, 9)), labels, 5).any()
    assert not top_k_hits(np.full((2, 9), np.nan), labels, 5).any()


def test_bootstrap_intervals_cover_the_truth_about_as_often_as_stated():
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
    # accepting only the first misses half the targets, without a false alarm
    assert min_detection_cost(scores, same, 0.01) == pytest.approx(0.5)
    assert min_detection_cost(scores, np.array([1, 1, 0, 0], bool)) == 0


def test_calibration_error_by_hand():
    confidences = np.array([0.95, 0.95, 0.35, 0.35])
    correct = np.array([True, False, True, False])
    assert calibration_error(confidences, correct, 10) == pytest.approx(0.5 * 0.45 + 0.5 * 0.15)


def test_softmax_survives_large_logits():
    assert softmax(np.array([[1e4, 0.0]])).tolist() == [[1.0, 0.0]]
