from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from voxedge.inference.scoring import LabelledScores
from voxedge.metrics import top_k_hits
from voxedge.nn.speaker_net import CosineHead, SpeakerNet
from voxedge.train.lda import (
    Lessons,
    add_discriminant,
    discriminant,
    duration_exponent_of,
    logits_of,
)
from voxedge.train.moments import Moments


def says(sharpness: float, clips: int = 2_000, classes: int = 5) -> LabelledScores:
    """A network whose logits are the true log-probabilities, times a factor."""
    random = np.random.default_rng(0)
    logits = 2 * random.normal(size=(clips, classes))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (chances.cumsum(axis=1) > random.random((clips, 1))).argmax(axis=1)
    return LabelledScores((sharpness * logits).astype(np.float32), np.arange(clips), truth)


@pytest.mark.parametrize(
    ("sharpness", "duration_exponent"), [(1.0, 0.0), (2.0, 0.63), (0.5, 0.0), (9.0, 1.0)]
)
def test_the_duration_exponent_calibrates_overconfident_segments(sharpness, duration_exponent):
    found = duration_exponent_of(says(1.0), says(sharpness), 1 / 3)
    assert found == pytest.approx(duration_exponent, abs=0.05)
    if 0 < found < 1:
        assert sharpness * (1 / 3) ** found == pytest.approx(1.0, abs=0.05)


def test_the_discriminant_separates_two_means_by_the_spread_within_classes():
    random = np.random.default_rng(1)
    spread = np.array([1.0, 5.0])  # the second feature varies within speakers
    means = np.array([[1.0, 1.0], [-1.0, -1.0]])
    labels = np.arange(4_000) % 2
    evidence = (means[labels] + spread * random.normal(size=(4_000, 2))).astype(np.float32)
    head = discriminant(Moments.of(evidence, labels, 2), shrinkage=0.0)
    weight = (head.weight[0] - head.weight[1]).detach().numpy()
    np.testing.assert_allclose(weight, [2.0, 2.0 / 25], atol=0.1)
    middle = logits_of(head, np.zeros((1, 2), np.float32))[0]
    assert middle[0] == pytest.approx(middle[1], abs=0.1)
    right = logits_of(head, evidence).argmax(axis=1) == labels
    assert right.mean() == pytest.approx(0.846, abs=0.02)  # of the normal law, 1.02 deviations


def listened(noisy: bool, seed: int) -> LabelledScores:
    """Clips whose evidence names the speaker unless it is noisy, and a head that half knows."""
    random = np.random.default_rng(seed)
    clips, classes = 600, 4
    truth = np.arange(clips) % classes
    evidence = random.normal(size=(clips, 6)).astype(np.float32)
    evidence[:, :classes] += 3 * np.eye(classes)[(truth + noisy) % classes]
    evidence[:, 4] += 6 * noisy
    logits = random.normal(size=(clips, classes)) + 2 * np.eye(classes)[truth]
    return LabelledScores(logits.astype(np.float32), np.arange(clips), truth, evidence)


def learned(scores: LabelledScores) -> Moments:
    return Moments.of(scores.evidence, scores.window_truth, 4)


def test_moments_add_up_and_are_those_of_all_windows():
    random = np.random.default_rng(2)
    labels = np.arange(90) % 3
    evidence = (labels[:, None] + random.normal(size=(90, 5))).astype(np.float32)
    parts = [Moments.of(evidence[part], labels[part], 3) for part in (slice(50), slice(50, None))]
    whole = parts[0] + parts[1]
    np.testing.assert_allclose(whole.means[1], evidence[labels == 1].mean(axis=0), atol=1e-5)
    within = evidence - whole.means[labels]
    np.testing.assert_allclose(whole.covariance_within, within.T @ within / 90, atol=1e-5)
    np.testing.assert_allclose((whole * 3).means, whole.means)
    np.testing.assert_allclose((whole * 3).covariance_within, whole.covariance_within)
    halves = parts[0].beside(parts[1])
    np.testing.assert_allclose(
        halves.means, [evidence[:50].mean(axis=0), evidence[50:].mean(axis=0)], atol=1e-5
    )


def test_a_discriminant_that_noise_misleads_counts_for_clean_clips():
    training, validation = ([listened(noisy, seed) for noisy in (False, True)] for seed in (0, 1))
    net = SpeakerNet(nn.Identity(), nn.Identity(), CosineHead(8, 4, 30.0))
    clean, degraded = (learned(scores) for scores in training)
    add_discriminant(net, Lessons(clean, degraded), validation)
    assert net.discriminant is not None
    scale = net.head.scale / 30.0  # the head's logits are made to fit
    for scores, gained in zip(validation, (0.1, -0.01), strict=True):
        with torch.inference_mode():
            logits = net.discriminant(
                torch.from_numpy(scale * scores.logits), torch.from_numpy(scores.evidence)
            )
        before = top_k_hits(scores.logits, scores.truth, 1).mean()
        assert top_k_hits(logits.numpy(), scores.truth, 1).mean() > before + gained
    deaf = SpeakerNet(nn.Identity(), nn.Identity(), CosineHead(8, 4, 30.0))
    add_discriminant(deaf, Lessons(clean), validation[:1])
    assert deaf.discriminant.clean is None


def test_a_discriminant_that_does_not_validate_is_not_added():
    net = SpeakerNet(nn.Identity(), nn.Identity(), CosineHead(8, 4, 30.0))
    quiet = learned(listened(noisy=False, seed=0))
    add_discriminant(net, Lessons(quiet), [listened(noisy=True, seed=1)])
    assert net.discriminant is None
    assert net.head.scale == 30.0
