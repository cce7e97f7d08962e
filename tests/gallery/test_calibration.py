"""How similar strangers are, and the thresholds that follow."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from tests.gallery.conftest import CALIBRATION
from voxedge.errors import CorpusError, UsageError
from voxedge.gallery import calibration, measured
from voxedge.gallery.calibration import RATES, Calibration, LogOdds, measure
from voxedge.gallery.people import Contents, EnrolledClip, GalleryModel, Person
from voxedge.gallery.thresholds import (
    leave_one_out,
    own_trials,
    pair_threshold,
    threshold,
)

MODEL = GalleryModel("ab" * 32, "net.onnx", "", 16_000, 8)


def rows(count: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, 8))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def persons(count: int, clips: int) -> tuple[Person, ...]:
    vectors = rows(count * clips)
    return tuple(
        Person(
            f"p{n:02d}",
            tuple(EnrolledClip("a", 2, 1, row) for row in vectors[n * clips : (n + 1) * clips]),
        )
        for n in range(count)
    )


def test_strangers_are_measured_against_the_mean_of_three_clips():
    speakers = [f"s{n % 9}" for n in range(40)]
    vectors = rows(40)
    cosines = []
    for n, own in enumerate(speakers):
        for other in set(speakers) - {own}:
            three = [vectors[k] for k in range(40) if speakers[k] == other][:3]
            mean = np.mean(three, axis=0)
            cosines.append(float(vectors[n] @ mean / np.linalg.norm(mean)))
    found = measure(vectors, speakers, "x")
    assert (found.speakers, found.clips) == (9, 40)
    assert found.cosines == pytest.approx(np.quantile(cosines, [0.9, 0.95]), abs=1e-4)
    assert found.least == 0.05  # 72 pairs of speakers: 2 % of them are fewer than three


def test_log_odds_are_of_clips_with_their_own_and_with_other_speakers():
    """Two normal distributions of one deviation: the log-odds of Gaussians are linear."""
    random = np.random.default_rng(0)
    own, others = random.normal(0.55, 0.15, 4000), random.normal(0.2, 0.15, 9000)
    found = calibration._log_odds(own.astype(np.float32), others.astype(np.float32))
    # log N(x; 0.55, 0.15) - log N(x; 0.2, 0.15) = 15.6 x - 5.8, a little flattened by the ridge
    assert found.scale == pytest.approx(15.6, rel=0.1)
    assert found.of(0.375) == pytest.approx(0, abs=0.1)


def test_a_clip_is_not_in_the_mean_of_its_own_speaker():
    vectors = rows(9)
    found = calibration._own_cosines(vectors, np.array([0, 0, 0, 0, 0, 1, 1, 2, 1]))
    expected = []
    for clip, others in ((0, [1, 2, 3]), (1, [0, 2, 3]), (4, [0, 1, 2]), (5, [6, 8])):
        mean = vectors[others].mean(axis=0)
        expected.append(float(vectors[clip] @ mean / np.linalg.norm(mean)))
    assert found[[0, 1, 4, 5]] == pytest.approx(expected, abs=1e-6)
    assert len(found) == 8  # the only clip of a speaker has no others


def test_speakers_with_one_clip_each_have_no_log_odds():
    assert measure(rows(9), [f"s{n}" for n in range(9)], "x").odds is None


def test_the_prior_is_shared_by_all_people():
    odds = LogOdds(10.0, -4.0)
    assert odds.of(0.6) == pytest.approx(2.0)
    assert odds.of(0.6, 8) == pytest.approx(2.0 - np.log(8))


@pytest.mark.parametrize("values", [(0.0, 0.0), (-1.0, 0.0), (1e9, 0.0), (1.0, float("nan"))])
def test_impossible_log_odds_are_refused(values):
    with pytest.raises(ValueError, match="impossible"):
        LogOdds(*values)


def test_a_gallery_of_an_earlier_version_has_no_log_odds():
    value = asdict(CALIBRATION)
    assert Calibration.from_json(value) == CALIBRATION
    del value["odds"]
    assert Calibration.from_json(value) == replace(CALIBRATION, odds=None)


def test_only_speakers_of_one_group_are_compared():
    speakers = [f"s{n % 12}" for n in range(48)]
    vectors = rows(48)
    groups = {f"s{n}": "ab"[n % 2] for n in range(12)}
    cosines = []
    for n, own in enumerate(speakers):
        for other in sorted(set(speakers) - {own}):
            if groups[own] == groups[other]:
                mean = np.mean([vectors[k] for k in range(48) if speakers[k] == other][:3], axis=0)
                cosines.append(float(vectors[n] @ mean / np.linalg.norm(mean)))
    found = measure(vectors, speakers, "x", groups)
    assert found.cosines == pytest.approx(np.quantile(cosines, [0.9, 0.95]), abs=1e-4)


def test_five_speakers_are_too_few():
    with pytest.raises(CorpusError, match="at least 6"):
        measure(rows(60), [f"s{n % 5}" for n in range(60)], "x")


def test_between_two_shares_the_logarithm_counts():
    assert CALIBRATION.cosine(0.05) == 0.4
    assert CALIBRATION.cosine((0.05 * 0.1) ** 0.5) == pytest.approx(0.35)
    assert CALIBRATION.cosine(0.001) == 0.5  # the smallest that was measured
    assert CALIBRATION.cosine(0.5) == 0.3


@pytest.mark.parametrize("cosines", [(), (0.5, 0.4), (0.4, 1.2), (float("nan"),), (0.1,) * 8])
def test_impossible_tables_are_refused(cosines):
    with pytest.raises(ValueError, match="impossible"):
        Calibration(cosines, 1, 1, "")


def test_the_more_people_the_higher_the_threshold():
    one = Contents(MODEL, persons(1, 3), CALIBRATION)
    two = Contents(MODEL, persons(2, 3), CALIBRATION)
    many = Contents(MODEL, persons(10, 3), CALIBRATION)
    assert threshold(one) == (0.4, "strangers", 0.05, 45)
    assert threshold(two, 0.1) == (0.4, "strangers", 0.1, 45)
    cosine, _, accept, _ = threshold(many)
    assert cosine == 0.5
    assert accept == pytest.approx(0.2)  # ten chances at 2 %: what was measured ends there
    assert pair_threshold(many).cosine == 0.4


def test_twenty_people_make_their_own_threshold():
    contents = Contents(MODEL, persons(20, 3), CALIBRATION)
    strange = []
    for person in contents.people:
        others = np.stack([each.mean for each in contents.people if each is not person])
        strange += [float((others @ clip.embedding).max()) for clip in person.clips]
    found = threshold(contents)
    assert found.cosine == pytest.approx(np.quantile(strange, 0.95), abs=1e-6)
    assert (found.basis, found.accept, found.speakers) == ("people", 0.05, 20)
    assert threshold(contents, 0.01).basis == "strangers"  # 60 clips are too few for 1 %
    assert threshold(Contents(MODEL, persons(19, 4), CALIBRATION)).basis == "strangers"


def test_of_a_large_gallery_every_so_many_people_are_taken(monkeypatch):
    contents = Contents(MODEL, persons(250, 2), CALIBRATION)
    whole = own_trials(contents)
    monkeypatch.setattr("voxedge.gallery.thresholds._MOST_CLIPS", 200)
    some = own_trials(contents)  # every third person
    assert len(some.strange) == 2 * 84
    first_clips = [2 * person for person in range(0, 250, 3)]
    assert some.strange[::2] == pytest.approx(whole.strange[first_clips], abs=1e-6)


def test_without_a_basis_there_is_no_threshold():
    assert threshold(Contents(MODEL, persons(3, 3))) is None
    assert pair_threshold(Contents(MODEL)) is None


def test_models_that_are_known_have_their_table():
    known = replace(MODEL, digest=next(iter(measured.BY_DIGEST)))
    assert threshold(Contents(known)).basis == "measured"
    folded = replace(MODEL, source=next(iter(measured.BY_SOURCE)) + ", out of a wheel")
    assert pair_threshold(Contents(folded)).cosine == pytest.approx(0.4084)
    assert all(len(table.cosines) <= len(RATES) for table in measured.BY_SOURCE.values())


def test_a_clip_is_compared_with_the_mean_of_the_others():
    vectors = rows(4)
    expected = []
    for n in range(4):
        mean = np.delete(vectors, n, axis=0).mean(axis=0)
        expected.append(vectors[n] @ mean / np.linalg.norm(mean))
    assert leave_one_out(vectors) == pytest.approx(expected, abs=1e-6)
    assert len(leave_one_out(vectors[:1])) == 0
    assert len(own_trials(Contents(MODEL, persons(1, 1))).strange) == 0


@pytest.mark.parametrize("accept", [0, 1, -0.1, float("nan"), 5])
def test_impossible_shares_are_refused(accept):
    with pytest.raises(UsageError, match="share"):
        threshold(Contents(MODEL, (), CALIBRATION), accept)
