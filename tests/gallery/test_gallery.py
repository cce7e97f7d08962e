"""Enrolling people and recognising them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE
from tests.gallery.conftest import CALIBRATION, PITCHES, tone, write_tone
from voxedge import Gallery
from voxedge.errors import (
    AnotherVoice,
    CorpusError,
    EmptyGallery,
    EnrolmentError,
    ForeignModel,
    GalleryBusy,
    GalleryError,
    GalleryNotFound,
    NameTaken,
    NoSpeech,
    TooClose,
    TooLittleSpeech,
    UnknownPerson,
    UsageError,
)
from voxedge.files import locked
from voxedge.gallery import file
from voxedge.gallery.changes import odd_ones
from voxedge.gallery.people import Contents, EnrolledClip, GalleryModel, Person
from voxedge.gallery.verification import verify_clips
from voxedge.inference.identifier import Identifier


def test_people_are_named_and_strangers_are_not(people):
    for name in people.names:
        answer = people.identify(tone(PITCHES[name], seed=9))
        assert answer.speaker == name
        assert answer.reason is None
        assert answer.matches[0].speaker == name
        assert answer.matches[0].cosine > 0.9
    stranger = people.identify(tone(PITCHES["dan"]))
    assert stranger.speaker is None
    assert stranger.reason == "unknown"
    assert len(stranger.matches) == 3
    assert stranger.matches[0].cosine < stranger.threshold.cosine


def test_probabilities_follow_from_the_cosines(people):
    answer = people.identify(tone(PITCHES["ada"], PITCHES["ben"], seed=5), top_k=2)
    everyone = people.identify(tone(PITCHES["ada"], PITCHES["ben"], seed=5), top_k=3).matches
    odds = CALIBRATION.odds
    weights = np.exp([odds.scale * match.cosine for match in everyone])
    assert [score.speaker for score in answer.predictions] == [m.speaker for m in answer.matches]
    assert [score.probability for score in answer.predictions] == pytest.approx(
        (weights / weights.sum())[:2]
    )
    log_odds = odds.scale * answer.matches[0].cosine + odds.offset - np.log(3)
    assert answer.known == pytest.approx(1 / (1 + np.exp(-log_odds)))
    least = odds.scale * answer.threshold.cosine + odds.offset - np.log(3)
    assert answer.least_known == pytest.approx(1 / (1 + np.exp(-least)))
    record = answer.to_dict()
    assert record["predictions"][0]["probability"] == pytest.approx(
        answer.predictions[0].probability, abs=1e-6
    )
    assert {"matches", "threshold", "known", "least_known"} <= set(record)


def test_without_log_odds_there_are_cosines_alone(people):
    file.write(people.path, replace(people.contents, calibration=replace(CALIBRATION, odds=None)))
    people.reload()
    answer = people.identify(tone(PITCHES["ada"]))
    assert (answer.speaker, answer.predictions, answer.known) == ("ada", (), None)
    assert "predictions" not in answer.to_dict()
    assert people.verify("ada", tone(PITCHES["ada"])).probability is None


def test_a_cosine_is_the_one_of_the_embeddings(people, identifier):
    clip = tone(PITCHES["ada"], PITCHES["ben"], seed=5)
    answer = people.identify(clip, cosine=0.1)
    vector = identifier.embed(clip).embedding
    for match in answer.matches:
        rows = people.contents.person(match.speaker).embeddings
        mean = rows.mean(axis=0)
        assert match.cosine == pytest.approx(float(vector @ mean / np.linalg.norm(mean)), abs=1e-6)
    assert answer.threshold == (0.1, "given", None, 0)
    record = answer.to_dict()
    assert set(record["matches"][0]) == {"speaker", "cosine"}


def test_without_a_threshold_nobody_is_named(identifier, tmp_path):
    gallery = Gallery(tmp_path / "people.vxg", identifier)
    done = gallery.enroll("ada", [tone(300), tone(2000)])  # which nothing forbids
    assert not done.checked
    answer = gallery.identify(tone(300, seed=3))
    assert (answer.speaker, answer.reason, answer.threshold) == (None, "no_threshold", None)
    assert answer.matches[0].speaker == "ada"
    assert answer.to_dict()["threshold"] is None
    assert gallery.identify(tone(300, seed=3), cosine=0.5).speaker == "ada"


def test_a_clip_of_silence(people):
    answer = people.identify(np.zeros(RATE, np.float32))
    assert (answer.speaker, answer.reason, answer.matches) == (None, "no_speech", ())
    with pytest.raises(NoSpeech, match="no speech"):
        people.verify("ada", np.zeros(RATE, np.float32))


def test_too_little_speech_to_verify(people):
    word = np.zeros(RATE, np.float32)
    word[: RATE // 5] = tone(PITCHES["ada"])[: RATE // 5]
    answer = people.identify(word)
    assert (answer.speaker, answer.reason) == (None, "too_little_speech")
    with pytest.raises(TooLittleSpeech, match=r"0\.20 s of speech; at least 0\.25 s"):
        people.verify("ada", word)


def test_many_clips_in_order_with_their_errors(people, tmp_path):
    paths = [write_tone(tmp_path / f"{n}.wav", hz) for n, hz in enumerate((900.0, 300.0))]
    found = list(people.identify_many([paths[0], tmp_path / "missing.wav", paths[1]]))
    assert [getattr(each, "speaker", "failed") for each in found] == ["ben", "failed", "ada"]


def test_clips_are_added_to_a_person(people):
    before = people.contents.person("ada").speech
    done = people.enroll("ada", [tone(300, seed=7)])
    assert len(done.person.clips) == 4
    assert done.person.speech == pytest.approx(before + done.reports[0].speech)
    assert done.person.percent == int(10 * done.person.speech)
    again = people.enroll("ada", [tone(300, seed=7), tone(300, seed=8)])
    assert [report.reason for report in again.reports] == ["already_enrolled", None]


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
    with pytest.raises(AnotherVoice, match=r"0\.wav and 1\.wav do not sound like one person"):
        gallery.enroll("ada", paths[:2])
    assert gallery.names == ()
    assert len(gallery.enroll("ada", paths, force=True).person.clips) == 3


def test_two_people_under_one_name(people):
    with pytest.raises(AnotherVoice):
        people.enroll("ada", [tone(PITCHES["dan"], seed=1)])
    with pytest.raises(AnotherVoice):
        people.enroll("ada", [tone(PITCHES["dan"], seed=seed) for seed in range(3)])
    assert len(people.contents.person("ada").clips) == 3


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


def test_removing_leaves_no_trace(people):
    people.enroll("Zoë Trace", [tone(3500, seed=s) for s in range(2)], keep_clips=True)
    person = people.contents.person("Zoë Trace")
    traces = [b"Zo", b"Trace", person.mean.tobytes()]
    for clip in person.clips:
        traces += [
            clip.embedding.tobytes(),
            clip.embedding[:4].tobytes(),
            clip.samples.tobytes()[:64],
        ]
    data = people.path.read_bytes()
    assert all(trace in data for trace in traces[:2] + traces[3:])
    people.remove("Zoë Trace")
    data = people.path.read_bytes()
    assert not any(trace in data for trace in traces)
    assert people.names == ("ada", "ben", "cleo")
    assert list(people.path.parent.iterdir()) == [people.path]  # no lock, no temporary file


def test_removing_through_a_link_changes_the_file(people, tmp_path):
    link = tmp_path / "link.vxg"
    link.symlink_to(people.path)
    Gallery(link).remove("ada")
    assert link.is_symlink()
    assert b"ada" not in people.path.read_bytes()


def test_unknown_people(people):
    with pytest.raises(UnknownPerson, match="nobody in the gallery is called 'eve'"):
        people.remove("eve")
    with pytest.raises(UnknownPerson, match="did you mean 'ada'"):
        people.verify("Ada", tone(300))


def test_what_another_process_changed_is_seen_after_reload(people):
    other = Gallery(people.path, people.identifier)
    assert people.identify(tone(900, seed=4)).speaker == "ben"
    other.remove("ben")
    assert people.identify(tone(900, seed=4)).speaker == "ben"
    people.reload()
    assert people.identify(tone(900, seed=4)).speaker is None
    other.enroll("bo", [tone(900, seed=s) for s in range(3)])
    people.rename("ada", "Ada")  # reads the file anew
    assert people.names == ("Ada", "cleo", "bo")
    assert people.identify(tone(900, seed=4)).speaker == "bo"


def test_renaming(people):
    people.rename("ada", "Ada")  # of case alone
    people.rename("ben", "Benjamin")
    assert people.names == ("Ada", "Benjamin", "cleo")
    with pytest.raises(NameTaken):
        people.rename("cleo", "ada")
    assert people.identify(tone(900, seed=4)).speaker == "Benjamin"


def test_merging(people):
    people.enroll("adele", [tone(300, seed=s) for s in (5, 6)], force=True)
    assert len(people.merge("ada", ["adele"]).clips) == 5
    assert people.names == ("ada", "ben", "cleo")
    with pytest.raises(AnotherVoice):
        people.merge("ada", ["ben"])
    with pytest.raises(UsageError):
        people.merge("ada", ["ada"])
    people.merge("ada", ["ben"], force=True)
    assert people.names == ("ada", "cleo")


def test_verification(people, identifier):
    found = people.verify("ada", tone(300, seed=8))
    assert found.same
    assert found.threshold == (0.4, "strangers", 0.05, 45)  # one comparison, whoever is enrolled
    odds = CALIBRATION.odds.scale * found.cosine + CALIBRATION.odds.offset
    assert found.probability == pytest.approx(1 / (1 + np.exp(-odds)))
    assert found.to_dict()["probability"] == pytest.approx(found.probability, abs=1e-6)
    assert not people.verify("ada", tone(900, seed=8)).same
    assert not people.verify("ada", tone(300, seed=8), cosine=1.0).same
    pair = verify_clips(identifier, tone(300), tone(300, seed=1), cosine=0.5)
    vectors = [identifier.embed(clip).embedding for clip in (tone(300), tone(300, seed=1))]
    assert pair.cosine == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-6)
    assert pair.to_dict()["speech_seconds"] == [pytest.approx(1.4, abs=0.3)] * 2
    assert len(found.speech_seconds) == 1  # of the clip
    with pytest.raises(UsageError, match="no threshold is known"):
        verify_clips(identifier, tone(300), tone(300, seed=1))
    with pytest.raises(UsageError, match="cosine"):
        people.verify("ada", tone(300), cosine=float("nan"))


def test_an_empty_gallery_and_none(gallery, identifier, tmp_path):
    with pytest.raises(EmptyGallery, match="nobody is enrolled"):
        gallery.identify(tone(300))
    with pytest.raises(GalleryNotFound):
        Gallery(tmp_path / "none.vxg", identifier).identify(tone(300))
    with pytest.raises(UsageError, match="no folder"):
        Gallery(tmp_path / "no" / "people.vxg", identifier).enroll("ada", [tone(300)])


def test_another_model_is_refused_and_kept_clips_migrate(people, other_model):
    other = Identifier(other_model, threads=1)
    before = people.path.read_bytes()
    for attempt in (
        lambda gallery: gallery.identify(tone(300)),
        lambda gallery: gallery.enroll("dan", [tone(3500)]),
        lambda gallery: gallery.verify("ada", tone(300)),
    ):
        with pytest.raises(ForeignModel, match=r"spectrum\.onnx.* is another model") as caught:
            attempt(Gallery(people.path, other))
        assert "enrol the people anew" in caught.value.hint
    with pytest.raises(GalleryError, match="ada, ben, cleo were not kept"):
        people.migrate(other)
    assert people.path.read_bytes() == before
    for name in people.names:
        people.remove(name)
        people.enroll(name, [tone(PITCHES[name], seed=s) for s in range(2)], keep_clips=True)
    with pytest.raises(ForeignModel, match="other model") as caught:
        Gallery(people.path, other).identify(tone(300))
    assert "gallery migrate --model other.onnx" in caught.value.hint
    people.migrate(other)
    answer = Gallery(people.path, other).identify(tone(300, seed=4), cosine=0.5)
    assert answer.speaker == "ada"
    vector = other.embed(tone(300, seed=0)).embedding
    assert float(people.contents.person("ada").clips[0].embedding @ vector) > 0.9999
    assert people.contents.calibration is None  # which was of the other model


def test_calibrating_on_strangers(gallery, tmp_path):
    pairs = [(f"s{n}", tone(400 + 450 * n, seed=seed)) for n in range(8) for seed in range(3)]
    found, unusable = gallery.calibrate([*pairs, ("s0", np.zeros(RATE, np.float32))], "tones")
    assert (found.speakers, found.clips, found.corpus) == (8, 24, "tones")
    assert [each.report.reason for each in unusable] == ["no_speech"]
    assert file.read(gallery.path).calibration == found
    with pytest.raises(CorpusError, match="too few"):
        gallery.calibrate(pairs[:9], "tones")


_ENROLL = """
import sys
from tests.gallery.conftest import tone
from voxedge import Gallery, Identifier
path, model, name, *hertz = sys.argv[1:]
gallery = Gallery(path, Identifier(model, any_sound=True))
print("ready", flush=True)
sys.stdin.readline()
for number, hz in enumerate(hertz):
    gallery.enroll(f"{name}{number}", [tone(float(hz), seed=s) for s in range(2)])
"""


@pytest.mark.parametrize("begun", [True, False])
def test_two_processes_enrol_at_once(begun, gallery, spectrum_model):
    if not begun:  # both make the file
        gallery.path.unlink()
    rivals = []
    for name, hertz in (("a", ("300", "900", "1500")), ("b", ("2200", "3000", "4200"))):
        words = [
            sys.executable,
            "-c",
            _ENROLL,
            str(gallery.path),
            str(spectrum_model),
            name,
            *hertz,
        ]
        rivals.append(
            subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
    for rival in rivals:
        assert rival.stdout.readline() == "ready\n"
    for rival in rivals:
        rival.stdin.write("\n")
        rival.stdin.flush()
    for rival in rivals:
        rival.communicate()
        assert rival.returncode == 0
    gallery.reload()
    assert sorted(gallery.names) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert list(gallery.path.parent.iterdir()) == [gallery.path]


def test_a_gallery_that_is_held_is_busy(people, monkeypatch):
    monkeypatch.setattr("voxedge.gallery.gallery._WAIT", 0.1)
    with locked(people.path, 1), pytest.raises(GalleryBusy, match="another process"):
        people.remove("ada")
    assert "ada" in Gallery(people.path).names
    people.remove("ada")
