"""A linear discriminant analysis of embeddings as the beginning of a training."""

from __future__ import annotations

import pytest
import torch

from tests.conftest import RATE
from tests.train.recipes import small
from voxedge.data.corpus import load_corpus
from voxedge.data.manifest import read_manifest
from voxedge.data.split import split_corpus
from voxedge.metrics import top_k_hits
from voxedge.train.analysis import begin_with_analysis, shrinkage_of
from voxedge.train.build import build_augment, build_net
from voxedge.train.calibrate import Judge


@pytest.mark.parametrize("augment", [{}, {"noise": 0.3, "rooms": 0.2, "channel": 0.1}])
def test_a_head_names_voices_before_it_is_trained(corpus_folder, augment):
    corpus = load_corpus(read_manifest(corpus_folder), RATE)
    recipe = small(model={"pooling": "statistics", "embedding_dim": 24}, augment=augment)
    net = build_net(recipe, len(corpus.labels))
    split = split_corpus(corpus.entries, 0.75, 0.25, 0)
    judge = Judge(net, corpus, split, torch.device("cpu"), 0, lambda: None)
    noises = build_augment(recipe, net.frontend.window)

    def right() -> float:
        scores = judge.scores("validation", "first")
        return float(top_k_hits(scores.logits, scores.window_truth, 1).mean())

    before = right()
    begin_with_analysis(judge, noises, lambda: torch.Generator().manual_seed(0))
    assert right() > max(before, 0.7)


def test_little_is_known_of_a_covariance_of_few_windows():
    assert shrinkage_of(10_000, 192) == 0.1
    assert shrinkage_of(192, 192) == 0.5
