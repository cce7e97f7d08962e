from __future__ import annotations

import numpy as np
import pytest

from voxedge.train.evaluate import Scores
from voxedge.train.refit import discriminant, logits_of, modesty_of


def says(sharpness: float, clips: int = 2_000, classes: int = 5) -> Scores:
    """A network whose logits are the true log-probabilities, times a factor."""
    random = np.random.default_rng(0)
    logits = 2 * random.normal(size=(clips, classes))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (chances.cumsum(axis=1) > random.random((clips, 1))).argmax(axis=1)
    return Scores((sharpness * logits).astype(np.float32), np.arange(clips), truth)


@pytest.mark.parametrize(
    ("sharpness", "modesty"), [(1.0, 0.0), (2.0, 0.63), (0.5, 0.0), (9.0, 1.0)]
)
def test_modesty_makes_up_for_what_pieces_are_too_sure_of(sharpness, modesty):
    found = modesty_of(says(sharpness), 1.0, 1 / 3)
    assert found == pytest.approx(modesty, abs=0.05)
    if 0 < found < 1:
        assert sharpness * (1 / 3) ** found == pytest.approx(1.0, abs=0.05)


def test_the_discriminant_halves_the_way_between_two_means_by_how_clips_differ():
    random = np.random.default_rng(1)
    spread = np.array([1.0, 5.0])  # the second figure differs between clips of one speaker
    means = np.array([[1.0, 1.0], [-1.0, -1.0]])
    labels = np.arange(4_000) % 2
    evidence = (means[labels] + spread * random.normal(size=(4_000, 2))).astype(np.float32)
    head = discriminant(evidence, labels, 2, shrinkage=0.0)
    weight = (head.weight[0] - head.weight[1]).detach().numpy()
    np.testing.assert_allclose(weight, [2.0, 2.0 / 25], atol=0.1)
    middle = logits_of(head, np.zeros((1, 2), np.float32))[0]
    assert middle[0] == pytest.approx(middle[1], abs=0.1)
    right = logits_of(head, evidence).argmax(axis=1) == labels
    assert right.mean() == pytest.approx(0.846, abs=0.02)  # of the normal law, 1.02 deviations
