"""The head on a given embedding: what it begins with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from voxedge.nn.embedding_head import CalibratedHead, EmbeddingHead
from voxedge.nn.speaker_net import CosineHead

CLASSES, SIZE = 5, 6


@pytest.fixture
def clouds():
    """Classes whose windows differ much along two directions, and hardly along the others."""
    random = np.random.default_rng(0)
    axes = np.linalg.qr(random.normal(size=(SIZE, SIZE)))[0]
    spread = np.array([5.0, 2.0, 0.1, 0.1, 0.1, 0.1])
    truth = np.repeat(np.arange(CLASSES), 400)
    inside = random.normal(size=(len(truth), SIZE)) * spread @ axes.T
    return (random.normal(size=(CLASSES, SIZE))[truth] + 3 + inside).astype(np.float32), truth


@pytest.mark.parametrize("head", [CosineHead(SIZE, CLASSES, 15.0), nn.Linear(SIZE, CLASSES)])
def test_it_begins_with_a_discriminant_analysis(clouds, head):
    vectors, truth = clouds
    net = EmbeddingHead(head)
    net.fit(vectors, truth, shrinkage=0.0)
    with torch.inference_mode():
        mapped = net.neck(torch.from_numpy(vectors)).numpy().astype(np.float64)
        right = (net(torch.from_numpy(vectors)).argmax(dim=1).numpy() == truth).mean()
    np.testing.assert_allclose(mapped.mean(axis=0), 0, atol=1e-4)
    assert np.linalg.norm(mapped, axis=1).mean() == pytest.approx(1, abs=1e-4)
    inside = mapped - np.stack([mapped[truth == k].mean(axis=0) for k in range(CLASSES)])[truth]
    within = inside.T @ inside / len(mapped)
    np.testing.assert_allclose(within / within[0, 0], np.eye(SIZE), atol=1e-3)  # white
    nearest = (vectors @ _means(vectors, truth).T).argmax(axis=1)
    assert (
        right > (nearest == truth).mean() + 0.2
    )  # than plain means, which the two directions fool


def test_directions_are_the_means_of_classes(clouds):
    vectors, truth = clouds
    net = EmbeddingHead(CosineHead(SIZE, CLASSES, 15.0))
    net.fit(vectors, truth, shrinkage=0.1)
    with torch.inference_mode():
        mapped = net.neck(torch.from_numpy(vectors)).numpy()
    np.testing.assert_allclose(net.head.weight.detach().numpy(), _means(mapped, truth), atol=1e-4)


def test_fewer_windows_than_dimensions_are_enough():
    vectors = np.eye(SIZE, dtype=np.float32)[:4]
    net = EmbeddingHead(CosineHead(SIZE, 2, 15.0))
    net.fit(vectors, np.array([0, 0, 1, 1]), shrinkage=0.1)
    assert torch.isfinite(net.neck.weight).all()
    assert net(torch.from_numpy(vectors)).argmax(dim=1).tolist() == [0, 0, 1, 1]
    net.fit(vectors[[0, 1]], np.array([0, 1]), shrinkage=0.1)  # one window of each: no spread
    assert torch.isfinite(net.neck.weight).all()


def test_probabilities_are_of_the_temperature():
    net = CalibratedHead(EmbeddingHead(nn.Linear(SIZE, 3)), 2.0)
    logits, probabilities = net(torch.randn(4, SIZE))
    torch.testing.assert_close(probabilities, torch.softmax(logits / 2, dim=1))


def _means(vectors, truth):
    means = np.stack([vectors[truth == k].mean(axis=0) for k in range(truth.max() + 1)])
    return means / np.linalg.norm(means, axis=1, keepdims=True)
