"""Naming clips after enrolled people, and verifying that they are of one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import RATE
from tests.gallery.conftest import CALIBRATION, PITCHES, tone, write_tone
from voxedge import Gallery
from voxedge.errors import (
    CorpusError,
    EmptyGallery,
    GalleryNotFound,
    NoSpeech,
    TooLittleSpeech,
    UsageError,
)
from voxedge.gallery import file
from voxedge.gallery.verification import verify_clips


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


def test_calibrating_on_strangers(gallery, tmp_path):
    pairs = [(f"s{n}", tone(400 + 450 * n, seed=seed)) for n in range(8) for seed in range(3)]
    found, unusable = gallery.calibrate([*pairs, ("s0", np.zeros(RATE, np.float32))], "tones")
    assert (found.speakers, found.clips, found.corpus) == (8, 24, "tones")
    assert [each.report.reason for each in unusable] == ["no_speech"]
    assert file.read(gallery.path).calibration == found
    with pytest.raises(CorpusError, match="too few"):
        gallery.calibrate(pairs[:9], "tones")
