"""The end of training: moments of the evidence, of segments and of degraded copies of clips."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.conftest import RATE
from tests.train.recipes import small
from voxedge.data.corpus import load_corpus
from voxedge.data.manifest import read_manifest
from voxedge.data.split import split_corpus
from voxedge.train import calibrate, scorer
from voxedge.train.build import build_augment, build_net
from voxedge.train.calibrate import Judge
from voxedge.train.moments import Moments
from voxedge.train.recipe import Recipe
from voxedge.train.scorer import gather, score

CPU = torch.device("cpu")


def recipe_of(statistics: bool = True, **augment: float) -> Recipe:
    return small(model={"statistics": statistics}, augment=augment)


@pytest.fixture(scope="module")
def corpus(corpus_folder):
    return load_corpus(read_manifest(corpus_folder), RATE)


def judge_of(corpus, recipe):
    net = build_net(recipe, len(corpus.labels)).eval()
    return Judge(net, corpus, split_corpus(corpus.entries, 0.5, 0.25, 0), CPU, 0, lambda: None)


@pytest.mark.parametrize("statistics", [True, False])
def test_the_moments_are_those_of_all_windows(corpus, monkeypatch, statistics):
    monkeypatch.setattr(scorer, "_HELD", 5)  # so that they are summed in many steps
    monkeypatch.setattr(scorer, "_BATCH", 4)
    net = judge_of(corpus, recipe_of(statistics)).net
    scores = score(net, corpus, corpus.entries, CPU)
    assert len(scores.clip_index) > len(corpus.entries) > 5
    wanted = Moments.of(scores.evidence, scores.window_truth, len(corpus.labels))
    found = gather(net, corpus, corpus.entries, CPU)
    np.testing.assert_array_equal(found.counts, wanted.counts)
    np.testing.assert_allclose(found.sums, wanted.sums, atol=1e-3)
    np.testing.assert_allclose(found.products, wanted.products, atol=1e-2)


@pytest.mark.parametrize(
    ("ways", "first", "others"),
    [
        ({}, 2, 0),
        ({"rooms": 0.3}, 2 + 1 / 3, 0),
        ({"noise": 0.5}, 2, 5),
        ({"channel": 0.2}, 2, 5),
        ({"noise": 0.5, "channel": 0.2, "rooms": 0.3}, 2 + 1 / 3, 9),
    ],
)
def test_copies_are_degraded_in_the_ways_of_training(corpus, ways, first, others):
    recipe = recipe_of(**ways)
    judge = judge_of(corpus, recipe)
    augment = build_augment(recipe, judge.net.frontend.window)

    def random():
        return torch.Generator().manual_seed(0)

    lessons = judge.lessons(augment, random)
    windows = len(judge.scores("train", "all").clip_index)
    assert lessons.first.counts.sum() == pytest.approx(first * windows)
    found = 0 if lessons.others is None else lessons.others.counts.sum()
    assert found == pytest.approx(others * windows)
    kinds = judge.kinds(augment, random)
    assert list(kinds) == ["clean", *(way for way in ways if way != "rooms")]
    clips = len(kinds["clean"].truth)
    for way in list(kinds)[1:]:
        assert kinds[way].truth.tolist() == 3 * kinds["clean"].truth.tolist()
        assert kinds[way].clip_index.max() == 3 * clips - 1
        copies = [kinds[way].logits[kinds[way].clip_index // clips == copy] for copy in range(3)]
        assert len({copy.tobytes() for copy in copies}) == 3  # each degraded anew


def test_every_copy_is_degraded_anew(corpus, monkeypatch):
    recipe = recipe_of(noise=0.5)
    judge = judge_of(corpus, recipe)
    copies = []
    real = Judge._moments
    monkeypatch.setattr(Judge, "_moments", lambda *a: copies.append(real(*a)) or copies[-1])
    augment = build_augment(recipe, judge.net.frontend.window)
    judge.lessons(augment, lambda: torch.Generator().manual_seed(0))
    assert len(copies) == 8  # three segments, the clips as they are, four copies
    assert len({copy.products.tobytes() for copy in copies}) == 8


def test_segments_are_the_beginning_the_middle_and_the_end(corpus):
    judge = judge_of(corpus, recipe_of())
    window = judge.net.frontend.window.samples
    pcm = torch.arange(2 * window).reshape(2, window).float()
    lengths = torch.tensor([window, window // 3 - 5])
    found = [judge._segment(place)(pcm, lengths) for place in calibrate._PLACES]
    size = round(window / 3)
    starts = 0, (window - size) // 2, window - size
    for (segments, filled), start in zip(found, starts, strict=True):
        assert filled.tolist() == [size, window // 3 - 5]
        assert segments[0].tolist() == list(range(start, start + size))
        assert segments[1, 0] == window  # a shorter clip is kept whole


def test_many_validation_clips_are_degraded_once_each(corpus, monkeypatch):
    recipe = recipe_of(noise=0.5)
    judge = judge_of(corpus, recipe)
    augment = build_augment(recipe, judge.net.frontend.window)
    clips = len(judge.scores("validation", "all").truth)
    for enough, copies in ((clips - 1, 1), (2 * clips, 2), (9 * clips, 3)):
        monkeypatch.setattr(calibrate, "_ENOUGH", enough)
        kinds = judge.kinds(augment, lambda: torch.Generator().manual_seed(0))
        assert len(kinds["noise"].truth) == copies * clips
