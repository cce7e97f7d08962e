from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.conftest import RATE
from voxedge.data.corpus import load_corpus
from voxedge.data.dataset import TrainingSet
from voxedge.data.manifest import read_manifest
from voxedge.data.split import split
from voxedge.train import calibrate
from voxedge.train.build import build_net
from voxedge.train.calibrate import Judge
from voxedge.train.evaluate import score
from voxedge.train.recipe import Recipe
from voxedge.train.view import View

RECIPE = Recipe.from_dict(
    {
        "frontend": {"image_size": 32, "window_seconds": 0.5, "n_mels": 40, "normalise": "clip"},
        "model": {"width": 0.25, "statistics": True},
        "loss": {"head": "cosine", "refit": True},
        "augment": {"noise": 0.3, "rooms": 0.2, "shorter": 0.1},
    }
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def corpus(corpus_folder):
    return load_corpus(read_manifest(corpus_folder), RATE, memory=1 << 30)


@pytest.fixture(scope="module")
def judge(corpus):
    net = build_net(RECIPE, len(corpus.labels)).eval()
    return Judge(net, corpus, split(corpus.entries), CPU, 0, lambda: None)


def training_set(judge, random_crop=False):
    entries = judge.split.of(judge.corpus.entries, "train")
    window = judge.net.frontend.window.samples
    return TrainingSet(judge.corpus, entries, len(entries), window, random_crop, seed=0)


def augment(judge):
    return View(RECIPE, judge.net.frontend, len(judge.corpus.labels), CPU).augment


def by_row(evidence):
    return evidence[np.lexsort(evidence.T)]


def test_a_discriminant_learns_from_what_it_will_be_asked(judge):
    entries = judge.split.of(judge.corpus.entries, "train")
    asked = score(judge.net, judge.corpus, entries, CPU, "first")
    learned = judge.examples(training_set(judge), {"clean": 1}, None, torch.Generator())
    np.testing.assert_allclose(by_row(learned.evidence), by_row(asked.evidence), atol=1e-5)
    assert sorted(learned.labels) == sorted(asked.window_truth)


def test_copies_are_of_the_ways_that_training_knows(judge, monkeypatch):
    clips, copies = training_set(judge, random_crop=True), {"clean": 2, "noise": 3, "channel": 5}
    found = judge.examples(clips, copies, augment(judge), torch.Generator())
    assert len(found.labels) == 5 * clips.clips  # of channels this recipe knows nothing
    assert len(np.unique(found.evidence, axis=0)) == len(found.labels)
    assert judge.examples(clips, {"channel": 5}, augment(judge), torch.Generator()) is None
    assert judge.examples(clips, {"noise": 5}, None, torch.Generator()) is None
    monkeypatch.setattr(calibrate, "_ENOUGH", 2 * clips.clips)
    capped = judge.examples(clips, copies, augment(judge), torch.Generator())
    assert len(capped.labels) == 4 * clips.clips


def test_validation_begins_with_clips_as_they_are(judge):
    ways = ("clean", "shorter", "noise", "channel", "rooms")
    plain, *spoilt = judge.validation(ways, augment(judge), lambda: torch.Generator())
    assert len(spoilt) == 3
    again = judge.scores("validation", "all")
    assert np.array_equal(plain.logits, again.logits)
    assert not any(np.array_equal(plain.logits, other.logits) for other in spoilt)
