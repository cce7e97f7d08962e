"""How a model file tells its speakers from strangers: the fit and the thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from voxedge.export.open_set import fit_open_set, logistic_regression
from voxedge.export.pipeline import export_run

from tests.conftest import RATE, voice, write_corpus
from voxedge.errors import CorpusError, ModelError
from voxedge.inference.open_set import OpenSet, figures
from voxedge.inference.scoring import LabelledScores
from voxedge.train.run import find_run

WINDOW = 3 * RATE
CLASSES = 12


def test_figures_are_the_best_logit_its_lead_and_the_length():
    logits = np.array(
        [[1.0, 9.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.0, -1.0, -2.0, -3.0, -4.0, -5.0, -9.0]]
    )
    found = figures(logits, np.array([1.0, np.e]))
    np.testing.assert_allclose(found, [[9, 9 - 4, 0], [0, 3, 1]])
    two = figures(np.array([[1.0, 3.0]]), np.array([1.0]))
    np.testing.assert_allclose(two, [[3, 2, 0]])


def test_the_log_odds_are_those_of_two_gaussians():
    """With equal variances the log-likelihood ratio is linear, and known."""
    random = np.random.default_rng(0)
    targets = random.normal(2, 1, (20_000, 1))
    others = random.normal(0, 1, (5_000, 1))
    weights, bias = logistic_regression(targets, others)
    assert weights[0] == pytest.approx(2, rel=0.05)
    assert bias == pytest.approx(-2, rel=0.05)  # even odds, though there are four times as many


def test_kinds_that_never_mix_have_finite_weights():
    weights, bias = logistic_regression(np.full((4, 2), 9.0), np.zeros((4, 2)))
    assert np.isfinite([*weights, bias]).all()
    assert 9 * weights.sum() + bias > 0 > bias


def scorer(random):
    """Logits in which a clip's own speaker stands out."""

    def score(clips):
        clips = list(clips)
        logits = random.normal(0, 1, (len(clips), CLASSES))
        for row, (label, _) in enumerate(clips):
            if label >= 0:
                logits[row, label] += 6
        truth = np.array([label for label, _ in clips])
        return LabelledScores(logits.astype(np.float32), np.arange(len(clips)), truth)

    return score


@pytest.fixture(scope="module")
def clips():
    return [(n % CLASSES, voice(100 + n, 1.5 + n % 3, n)) for n in range(120)]


def test_thresholds_let_the_wanted_share_of_strangers_through(clips):
    score = scorer(np.random.default_rng(1))
    found = fit_open_set(score, clips, WINDOW, RATE)
    assert (found.basis, found.clips) == ("speakers", 120)
    assert found.accept[0.001] is None  # 0.12 clips of 120
    assert found.accept[0.01] is None
    heard = score([(-1, samples) for _, samples in clips * 20])
    odds = found.log_odds(heard.logits, np.full(len(clips) * 20, 2.0))
    for share in (0.1, 0.05):
        assert (odds >= found.accept[share]).mean() == pytest.approx(share, abs=0.04)
    known = score(clips)
    seconds = np.array([min(len(samples), WINDOW) / RATE for _, samples in clips])
    assert (found.log_odds(known.logits, seconds) >= found.accept[0.05]).mean() > 0.8


def test_impostors_stand_for_strangers_if_there_are_any(clips):
    score = scorer(np.random.default_rng(1))
    found = fit_open_set(score, clips, WINDOW, RATE, [samples for _, samples in clips[:70]])
    assert (found.basis, found.clips) == ("impostors", 70)
    assert found.accept[0.05] is not None  # 3.5 clips
    assert found.accept[0.01] is None


def test_two_speakers_cannot_stand_for_strangers(clips):
    def score(some):
        some = list(some)
        truth = np.array([label for label, _ in some])
        logits = np.eye(2, dtype=np.float32)[truth]
        return LabelledScores(logits, np.arange(len(some)), truth)

    two = [(label % 2, samples) for label, samples in clips[:6]]
    assert fit_open_set(score, two, WINDOW, RATE) is None
    assert fit_open_set(score, two, WINDOW, RATE, [voice(300, 1.0, 1)]).basis == "impostors"


def test_the_metadata_gives_the_same_answers():
    found = OpenSet((1.23456, 0.5, -0.1), -3.0, {0.1: 0.5, 0.05: 1.5, 0.01: None}, 99, "speakers")
    again = OpenSet.from_metadata(found.to_metadata())
    assert again.weights == (1.235, 0.5, -0.1)
    assert again.accept == found.accept
    assert again.threshold(0.05) == again.threshold(0.07) == 1.5
    assert again.threshold(0.1) == 0.5
    assert again.threshold(0.01) is None
    assert again.threshold(0.005) is None
    assert OpenSet.from_metadata({}) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"best": "x"},
        {"best": float("nan")},
        {"accept": [1]},
        {"accept": {"0.1": "x"}},
        {"bias": None},
    ],
)
def test_damaged_thresholds_are_refused(damage):
    record = OpenSet((1.0, 0.5, -0.1), -3.0, {0.1: 0.5}, 99, "speakers").to_metadata()
    with pytest.raises(ModelError, match="thresholds are"):
        OpenSet.from_metadata(record | damage)


def test_an_export_by_impostors(workshop, tmp_path):
    run = find_run(workshop / "runs")
    folder = write_corpus(tmp_path / "others", clips=16)
    (folder / "ada" / "broken.wav").write_bytes(b"")
    done = export_run(run, tmp_path / "model.onnx", impostors=folder)
    found = OpenSet.from_metadata(done.metadata.thresholds)
    assert (found.basis, found.clips) == ("impostors", 64)
    assert found.accept[0.05] is not None
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="can be read"):
        export_run(run, tmp_path / "other.onnx", impostors=tmp_path / "empty")
