"""Rates, curves and intervals of open-set identification, against figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.conftest import PitchModel, record
from voxedge.evaluation.answers import Answer, Evaluation, Record, ask, best_logit
from voxedge.evaluation.conditions import CLEAN, CONDITIONS
from voxedge.evaluation.open_set import Trials, curve_of, measure_open_set
from voxedge.inference.scoring import ClipScores
from voxedge.metrics import accepted, equal_error_rate

#: Of the speakers 5, 4 and 2 are right, 3 is wrong; of the strangers one is above three of them.
TRIALS = Trials(
    np.array([5.0, 4.0, 3.0, 2.0]),
    np.array([True, True, False, True]),
    ["ada", "ada", "ben", "ben"],
    np.array([4.5, 1.0, 0.0, -1.0]),
    ["eve", "eve", "fay", "fay"],
)


def test_the_curve_of_eight_clips():
    curve = curve_of(TRIALS)
    assert curve.thresholds.tolist() == [np.inf, 5, 4.5, 4, 3, 2, 1, 0, -1]
    assert (4 * curve.dir).tolist() == [0, 1, 1, 2, 2, 3, 3, 3, 3]
    assert (4 * curve.far).tolist() == [0, 0, 1, 1, 1, 1, 2, 3, 4]
    assert (4 * curve.frr).tolist() == [4, 3, 3, 2, 1, 0, 0, 0, 0]
    assert curve.area == pytest.approx(0.25 * 0.25 + 0.75 * 0.75)


@pytest.mark.parametrize(
    ("share", "threshold"), [(0.0, 5), (0.1, 5), (0.2499, 5), (0.25, 2), (0.5, 1), (1.0, -1)]
)
def test_a_threshold_lets_no_more_than_the_share_through(share, threshold):
    curve = curve_of(TRIALS)
    assert curve.thresholds[curve.at(share)] == threshold


def test_equal_scores_are_accepted_together():
    tied = TRIALS._replace(known=np.full(4, 1.0), strangers=np.array([1.0, 1.0, 0.0, -np.inf]))
    curve = curve_of(tied)
    assert curve.thresholds.tolist() == [np.inf, 1, 0, -np.inf]
    assert curve.dir.tolist() == [0, 0.75, 0.75, 0.75]
    assert curve.far.tolist() == [0, 0.5, 0.75, 1]
    assert curve.area == pytest.approx(0.5 * 0.375 + 0.5 * 0.75)


def test_clips_that_are_drawn_twice_count_twice():
    known, strangers = np.array([2.0, 1, 0, 1]), np.array([0.0, 1, 3, 0])
    weighted = curve_of(TRIALS, known, strangers)
    twice = Trials(
        np.repeat(TRIALS.known, known.astype(int)),
        np.repeat(TRIALS.right, known.astype(int)),
        [],
        np.repeat(TRIALS.strangers, strangers.astype(int)),
        [],
    )
    expected = curve_of(twice)
    for share in (0.0, 0.25, 0.8, 1.0):
        ours, theirs = weighted.at(share), expected.at(share)
        for figure in ("dir", "far", "frr"):
            found = getattr(weighted, figure)[ours]
            assert found == pytest.approx(getattr(expected, figure)[theirs])
    assert weighted.area == pytest.approx(expected.area)


def test_perfect_and_reversed_scores():
    perfect = TRIALS._replace(right=np.ones(4, bool), strangers=np.array([1.0, 0.5, 0.0, -1.0]))
    assert curve_of(perfect).area == 1
    reversed_ = perfect._replace(known=-perfect.known, strangers=np.array([6.0, 7.0, 8.0, 9.0]))
    assert curve_of(reversed_).area == 0


def test_sums_of_what_is_accepted():
    thresholds, (first, second) = accepted(
        np.array([1.0, 3.0, 1.0, 2.0]),
        np.array([1.0, 2, 3, 4]),
        np.array([True, False, True, True]),
    )
    assert thresholds.tolist() == [np.inf, 3, 2, 1]
    assert first.tolist() == [0, 2, 6, 10]
    assert second.tolist() == [0, 0, 1, 3]
    assert equal_error_rate(np.array([3.0, 1.0, 2.0, 0.0]), np.array([1, 1, 0, 0], bool)) == 0.5


def scored(number, speaker, rank, score, known=True):
    plain = record(number, speaker, rank, "ada", known=known)
    return replace(plain, answers={CLEAN: plain.answers[CLEAN]._replace(score=score)})


@pytest.fixture
def evaluation():
    """Twenty speakers of ten clips, ten strangers of ten; log-odds of 2 and -2, deviation 1."""
    random = np.random.default_rng(0)
    known = [
        scored(n, f"s{n % 20}", int(n % 25 == 0), float(random.normal(2, 1))) for n in range(200)
    ]
    known[7] = replace(known[7], answers={CLEAN: Answer(200, 0, ())})  # no windows
    unseen = [
        scored(n, f"u{n % 10}", 200, float(random.normal(-2, 1)), known=False) for n in range(100)
    ]
    thresholds = {"0.1": -0.7, "0.05": -0.3, "0.01": None}
    return Evaluation({}, (CLEAN,), tuple(known), (), tuple(unseen), thresholds)


def test_rates_by_the_file_and_by_the_strangers(evaluation):
    found = measure_open_set(evaluation)
    assert (found["clips"], found["speakers"]) == (200, 20)
    assert (found["unseen_clips"], found["unseen_speakers"]) == (100, 10)
    assert found["score"] == "log_odds"
    clean = found["conditions"][CLEAN]
    known = np.array([r.answers[CLEAN].score if r.answers[CLEAN].windows else -9e9
                      for r in evaluation.known])  # fmt: skip
    right = np.array([r.answers[CLEAN].rank == 0 for r in evaluation.known])
    strangers = np.array([r.answers[CLEAN].score for r in evaluation.unseen])
    rates = clean["by_file"]["0.05"]
    assert rates["threshold"] == -0.3
    assert rates["dir"]["value"] == pytest.approx(((known >= -0.3) & right).mean())
    assert rates["far"]["value"] == pytest.approx((strangers >= -0.3).mean())
    assert rates["frr"]["value"] == pytest.approx((known < -0.3).mean())
    assert clean["by_file"]["0.01"] is None
    own = clean["by_unseen"]["0.05"]
    assert own["far"]["value"] == 0.05
    assert own["threshold"] > np.sort(strangers)[-6]
    assert own["dir"]["value"] == ((known >= own["threshold"]) & right).mean()
    assert clean["by_unseen"]["0.01"] is None  # one clip of a hundred is chance
    for row in (*filter(None, (*clean["by_file"].values(), *clean["by_unseen"].values())),):
        for figure in ("dir", "far", "frr"):
            assert row[figure]["low"] <= row[figure]["value"] <= row[figure]["high"]
        assert row["dir"]["low"] < row["dir"]["high"]
    area = clean["oscr_area"]
    assert 0.8 < area["low"] < area["value"] < area["high"] < 1
    points = clean["curve"]
    assert points[0]["far"] == 0
    assert points[-1]["far"] == 1
    assert points[-1]["dir"] == right.mean()
    assert [each["far"] for each in points] == sorted(each["far"] for each in points)


def test_intervals_are_as_wide_as_those_of_other_draws(evaluation):
    """With both kinds of clips drawn anew, the threshold that strangers give moves as well."""
    random = np.random.default_rng(5)
    others = []
    for _ in range(300):
        known, strangers = random.normal(1, 1, 200), random.normal(-1, 1, 100)
        curve = curve_of(Trials(known, np.ones(200, bool), [], strangers, []))
        others.append(curve.dir[curve.at(0.05)])

    def clips(name, mean, speakers, count):
        scores = random.normal(mean, 1, count)
        return tuple(
            scored(n, f"{name}{n % speakers}", 0, float(score)) for n, score in enumerate(scores)
        )

    drawn = replace(evaluation, records=clips("s", 1, 20, 200), unseen=clips("u", -1, 10, 100))
    own = measure_open_set(drawn)["conditions"][CLEAN]["by_unseen"]["0.05"]["dir"]
    width = np.subtract(*np.quantile(others, [0.975, 0.025]))
    assert 0.6 < (own["high"] - own["low"]) / width < 1.6


def test_a_model_without_thresholds_is_judged_by_its_best_logit(evaluation):
    found = measure_open_set(replace(evaluation, thresholds={}))
    assert found["score"] == "best_logit"
    assert found["conditions"][CLEAN]["by_file"] == {}
    assert found["conditions"][CLEAN]["by_unseen"]["0.05"] is not None
    scores = ClipScores(None, 1, logits=np.array([1.0, 7.0, 3.0]))
    assert best_logit(scores, 2.0) == 7.0


def test_few_strangers_give_no_thresholds(evaluation):
    few = replace(evaluation, unseen=evaluation.unseen[:40])
    found = measure_open_set(few)["conditions"][CLEAN]["by_unseen"]
    assert found["0.05"] is None  # two clips
    assert found["0.1"]["far"]["value"] == 0.1


def test_strangers_are_heard_under_every_condition(clips, tmp_path):
    seconds = []

    def score(scores, length):
        seconds.append(length)
        return float(scores.logits.max())

    model = PitchModel(("ada", "ben"))
    conditions = [CONDITIONS["cut0.5"]]
    heard = ask(model, clips, conditions, score=score, strangers=True)
    assert {tuple(each.answers) for each in heard.unknown} == {(CLEAN, "cut0.5")}
    assert set(np.round(seconds, 3)) == {1.2, 0.5}
    plain = ask(model, clips, conditions)
    assert {tuple(each.answers) for each in plain.unknown} == {(CLEAN,)}
    whole = replace(plain, unseen=tuple(heard.unknown), thresholds={"0.05": 1.0, "0.01": None})
    whole.write(tmp_path / "evaluation.json", {})
    assert Evaluation.read(tmp_path / "evaluation.json") == whole
    assert all(isinstance(each, Record) for each in whole.unseen)
