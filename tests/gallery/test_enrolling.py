"""Enrolling people: which clips are taken, which voices and names are refused."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE
from tests.gallery.conftest import CALIBRATION, PITCHES, tone, write_tone
from voxedge.errors import (
    AnotherVoice,
    EnrolmentError,
    NameTaken,
    TooClose,
    UsageError,
)
from voxedge.gallery.changes import odd_ones
from voxedge.gallery.people import Contents, EnrolledClip, GalleryModel, Person


def test_clips_are_added_to_a_person(people):
    before = people.contents.person("ada").speech
    done = people.enroll("ada", [tone(300, seed=7)])
    assert len(done.person.clips) == 4
    assert done.person.speech == pytest.approx(before + done.reports[0].speech)
    assert done.person.percent == done.reports[0].percent == int(10 * done.person.speech)
    again = people.enroll("ada", [tone(300, seed=7), tone(300, seed=8)])
    assert [report.reason for report in again.reports] == ["already_enrolled", None]
    assert again.reports[0].percent == done.person.percent < again.reports[1].percent


def test_clips_that_cannot_be_used_are_left_out_with_a_reason(gallery, tmp_path):
    good = write_tone(tmp_path / "good.wav", 300.0)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    (tmp_path / "bad.wav").write_bytes(b"nothing")
    names = ["good.wav", "silent.wav", "bad.wav", "missing.wav"]
    done = gallery.enroll("ada", [tmp_path / name for name in names])
    reasons = [report.reason for report in done.reports]
    assert reasons == [None, "no_speech", "unreadable", "not_found"]
    assert [clip.file for clip in done.person.clips] == [good.name]


def test_nothing_is_enrolled_without_a_usable_clip(gallery):
    before = gallery.path.read_bytes()
    with pytest.raises(EnrolmentError, match="no_speech") as caught:
        gallery.enroll("ada", [np.zeros(RATE, np.float32)])
    assert caught.value.reports[0].reason == "no_speech"
    with pytest.raises(EnrolmentError, match="no clips"):
        gallery.enroll("ada", [])
    assert gallery.path.read_bytes() == before


def test_the_odd_clip_is_named(gallery, tmp_path):
    paths = [write_tone(tmp_path / f"{n}.wav", hz) for n, hz in enumerate((300.0, 2000.0, 301.0))]
    with pytest.raises(AnotherVoice, match=r"1\.wav does not sound like") as caught:
        gallery.enroll("ada", paths)
    assert [report.reason for report in caught.value.reports] == [None, "another_voice", None]
    with pytest.raises(AnotherVoice, match=r"0\.wav and .*1\.wav do not sound like one") as caught:
        gallery.enroll("ada", paths[:2])
    assert "add a third clip" in caught.value.hint
    assert gallery.names == ()
    assert len(gallery.enroll("ada", paths, force=True).person.clips) == 3


def test_two_people_under_one_name(people):
    with pytest.raises(AnotherVoice):
        people.enroll("ada", [tone(PITCHES["dan"], seed=1)])
    with pytest.raises(AnotherVoice):
        people.enroll("ada", [tone(PITCHES["dan"], seed=seed) for seed in range(3)])
    assert len(people.contents.person("ada").clips) == 3


def test_a_refusal_says_which_clips_and_what_to_do(gallery, tmp_path):
    paths = [
        write_tone(tmp_path / name / f"{n}.wav", PITCHES[name], seed=n)
        for name, clips in (("ada", 4), ("ben", 2))
        for n in range(clips)
    ]
    with pytest.raises(AnotherVoice, match="ada was not enrolled: ") as caught:
        gallery.enroll("ada", paths)
    for path in paths[4:]:
        assert str(path) in caught.value.message  # the files of both are called 0.wav
    assert "leave them out" in caught.value.hint
    gallery.enroll("ada", [paths[4]])
    with pytest.raises(AnotherVoice, match=r"0\.wav of those enrolled earlier does") as caught:
        gallery.enroll("ada", paths[:4])
    assert "voxedge gallery remove ada, then enrol without it" in caught.value.hint
    with pytest.raises(AnotherVoice) as caught:
        gallery.enroll("eve", [paths[n] for n in (0, 1, 4, 5)])
    assert "they are of two" in caught.value.hint


def at(name: str, *degrees: float) -> Person:
    """A person whose clips are directions in a plane."""
    angles = np.radians(degrees)
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return Person(
        name, tuple(EnrolledClip(f"{d}.wav", 2, 1, r) for d, r in zip(degrees, rows, strict=True))
    )


def test_a_clip_that_sounds_more_like_somebody_else_is_odd():
    """63 degrees are near enough to the others (cosine 0.45), and nearer to Ben at 80."""
    model = GalleryModel("", "", "", RATE, 2)
    dan = at("dan", 0, 0.1, 0.2, 63)
    assert odd_ones(Contents(model, (dan,), CALIBRATION), dan) == []
    contents = Contents(model, (at("ben", 80), dan), CALIBRATION)
    assert odd_ones(contents, dan) == [dan.clips[3]]
    twins = at("ben", 80), at("eve", 78, 79, 90)  # she sounds like Ben with all clips
    assert odd_ones(Contents(model, twins, CALIBRATION), twins[1]) == []
    same = at("ben", 80), at("eve", 81, 79, 80)
    assert odd_ones(Contents(model, same, CALIBRATION), same[1]) == []


def test_a_second_person_who_sounds_like_an_enrolled_one(people):
    with pytest.raises(TooClose, match="sounds like ada"):
        people.enroll("eve", [tone(300, seed=seed) for seed in (5, 6)])
    people.enroll("eve", [tone(300, seed=seed) for seed in (5, 6)], force=True)
    assert people.names == ("ada", "ben", "cleo", "eve")


@pytest.mark.parametrize("name", ["Ada", "ada ", "a da", "ADA"])
def test_names_that_cannot_be_told_apart(people, name):
    with pytest.raises(NameTaken, match="'ada'"):
        people.enroll(name, [tone(3500)])


def test_composed_and_decomposed_characters_are_one_name(gallery):
    gallery.enroll("Jose\u0301", [tone(300)])
    assert gallery.enroll("José", [tone(300, seed=1)]).person.name == "José"
    assert gallery.names == ("José",)


@pytest.mark.parametrize("name", ["", "  ", "\u200b", "x" * 201])
def test_impossible_names(gallery, name):
    with pytest.raises(UsageError):
        gallery.enroll(name, [tone(300)])
