"""Who spoke when, from a file to segments with names."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from docs.make import ROOT
from tests.conftest import RATE
from tests.gallery.conftest import PITCHES, tone, write_other_model
from tests.inference.test_open_set import resealed
from tests.timeline.conftest import LoudnessDetector, talk, write_gallery
from voxedge.audio.load import decode
from voxedge.errors import (
    BadSamples,
    EmptyGallery,
    ForeignModel,
    NoSpeakers,
    NoSpeech,
    TooShort,
    TruncatedAudio,
    UsageError,
)
from voxedge.gallery.gallery import Gallery
from voxedge.inference.identifier import Identifier
from voxedge.inference.open_set import OpenSet, figures, probability
from voxedge.timeline.clustering import SpeakerCount
from voxedge.timeline.measured import OTHERS, threshold_of
from voxedge.timeline.naming import by_gallery, by_model
from voxedge.timeline.record import Timeline
from voxedge.timeline.timeline import Settings, who_spoke_when
from voxedge.timeline.windows import SpeechWindows

TURNS = (("ada", 6.0), ("ben", 6.0), ("ada", 5.0), ("cleo", 6.0))


def encoded(samples: np.ndarray, subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", subtype=subtype)
    return buffer.getvalue()


def timeline(model: Identifier, samples: np.ndarray | bytes, *args, **options) -> Timeline:
    source = samples if isinstance(samples, bytes) else encoded(samples)
    return who_spoke_when(source, model, *args, detector=LoudnessDetector(), **options)


@pytest.fixture
def gallery(identifier, tmp_path) -> Gallery:
    """Ada and Ben are enrolled."""
    return write_gallery(tmp_path / "people.vxg", identifier, "ada", "ben")


def test_everybody_is_unknown_in_order_of_appearance(identifier):
    found = timeline(identifier, talk(*TURNS))
    assert [each.speaker for each in found.speakers] == ["unknown-1", "unknown-2", "unknown-3"]
    names = [each.speaker for each in found.segments]
    assert names == ["unknown-1", "unknown-2", "unknown-1", "unknown-3"]
    starts = [each.start for each in found.segments]
    assert starts == pytest.approx([0.8, 7.6, 14.4, 20.2], abs=0.1)
    assert [each.end for each in found.segments] == pytest.approx([6.8, 13.6, 19.4, 26.2], abs=0.1)
    assert [each.seconds for each in found.speakers] == pytest.approx([11, 6, 6], abs=0.3)
    assert found.speech == pytest.approx(23.0, abs=0.5)
    assert found.seconds == pytest.approx(27.0, abs=0.01)
    assert all(each.cosine > 0.8 and each.probability is None for each in found.segments)


def test_a_gallery_names_whom_it_knows(identifier, gallery):
    found = timeline(identifier, talk(*TURNS), by_gallery(gallery))
    assert [each.speaker for each in found.segments] == ["ada", "ben", "ada", "unknown-1"]
    ada, _, unknown = (each.answer for each in found.speakers)
    assert (ada.matches[0].speaker, ada.matches[0].cosine > 0.9) == ("ada", True)
    assert (unknown.speaker, unknown.reason, len(unknown.matches)) == (None, "unknown", 2)
    record = found.to_dict()
    assert record["threshold"]["basis"] == "strangers"
    assert [each["known"] for each in record["speakers"]] == [True, True, False]
    assert "probability" not in record["segments"][0]


def test_two_clusters_of_one_person_are_one_speaker(identifier, gallery):
    settings = Settings(SpeakerCount(4, 4))
    found = timeline(identifier, talk(*TURNS), by_gallery(gallery), settings)
    names = [each.speaker for each in found.speakers]
    assert len(names) == len(set(names))
    assert {"ada", "ben"} < set(names)


def test_a_model_that_knows_names_gives_probabilities():
    """Those of a speaker are the mean over the windows, those of a segment over its own."""
    model = Identifier(ROOT / "bench" / "models" / "speechocean762-200.int8.onnx", threads=1)
    samples = talk(("ada", 4.0))
    found = timeline(model, samples, by_model(model), Settings(SpeakerCount(1, 1)))
    samples = decode(encoded(samples), RATE).samples
    cutter = SpeechWindows(RATE, LoudnessDetector())
    windows = [*cutter.feed(samples), *cutter.finish()]
    expected = np.mean([scores.probabilities for scores in model.score(windows)], axis=0)
    best = found.speakers[0].answer.predictions[0]
    assert best.speaker == found.segments[0].speaker == model.labels[int(expected.argmax())]
    assert best.probability == pytest.approx(float(expected.max()), abs=2e-3)
    assert found.segments[0].probability == pytest.approx(best.probability)
    assert "cosine" not in found.to_dict()["segments"][0]


@pytest.mark.parametrize("bias", [-1e3, 1e3])
def test_strangers_to_a_model_file_are_unknown(tmp_path, bias):
    """By its thresholds, as in ``identify``; the logits are those of windows of 1.5 s."""
    shipped = ROOT / "bench" / "models" / "speechocean762-200.int8.onnx"
    weights = OpenSet((0.5, 0.25, -2.0), bias, {0.05: 0.0, 0.01: None}, 60, "speakers")
    model = Identifier(resealed(shipped, tmp_path / "model.onnx", weights), threads=1)
    samples = talk(("ada", 4.0))
    one = Settings(SpeakerCount(1, 1))
    answer = (found := timeline(model, samples, by_model(model), one)).speakers[0].answer
    always = timeline(model, samples, by_model(model, None), one)
    nearest = always.segments[0].speaker
    assert nearest in model.labels
    assert answer.predictions == always.speakers[0].answer.predictions
    assert answer.least_known == probability(0.0)
    if bias < 0:
        assert (found.segments[0].speaker, answer.reason) == ("unknown-1", "unknown")
        assert "probability" not in found.to_dict()["segments"][0]
        assert "cosine" in found.to_dict()["segments"][0]
    else:
        assert (found.segments[0].speaker, answer.reason) == (nearest, None)
    with pytest.raises(UsageError, match="between 0 and 1"):
        by_model(model, 5.0)


def test_how_known_a_voice_is_follows_from_its_windows(tmp_path):
    shipped = ROOT / "bench" / "models" / "speechocean762-200.int8.onnx"
    weights = OpenSet((0.5, 0.25, -2.0), -9.0, {0.05: 0.0}, 60, "speakers")
    model = Identifier(resealed(shipped, tmp_path / "model.onnx", weights), threads=1)
    samples = decode(encoded(talk(("ada", 4.0))), RATE).samples
    cutter = SpeechWindows(RATE, LoudnessDetector())
    windows = [*cutter.feed(samples), *cutter.finish()]
    logits = np.mean([scores.logits for scores in model.score(windows)], axis=0)
    seconds = np.mean([window.end - window.start for window, _ in windows])
    found = timeline(model, talk(("ada", 4.0)), by_model(model), Settings(SpeakerCount(1, 1)))
    odds = figures(logits[None], seconds[None])[0] @ weights.weights + weights.bias
    assert found.speakers[0].answer.known == pytest.approx(probability(odds), abs=1e-4)


def test_numbers_of_speakers(identifier):
    samples = talk(*TURNS)
    assert len(timeline(identifier, samples, settings=Settings(SpeakerCount(2, 2))).speakers) == 2
    assert len(timeline(identifier, samples, settings=Settings(SpeakerCount(most=1))).speakers) == 1
    with pytest.raises(UsageError, match="50 speakers cannot be told apart"):
        timeline(identifier, samples, settings=Settings(SpeakerCount(50, 50)))


def test_unknown_names_that_are_taken_are_passed_over(identifier, gallery):
    gallery.rename("ben", "unknown-1")
    found = timeline(identifier, talk(*TURNS), by_gallery(gallery))
    assert [each.speaker for each in found.speakers] == ["ada", "unknown-1", "unknown-2"]
    assert [each.known for each in found.speakers] == [True, True, False]


def test_a_recording_shorter_than_a_window(identifier):
    found = timeline(identifier, tone(PITCHES["ada"], seconds=0.9))
    assert [each.speaker for each in found.segments] == ["unknown-1"]
    with pytest.raises(TooShort):
        timeline(identifier, tone(PITCHES["ada"], seconds=0.1))


def test_bad_recordings(identifier):
    with pytest.raises(NoSpeech, match=r"no speech in 3\.0 s of audio"):
        timeline(identifier, np.zeros(3 * RATE))
    broken = talk(*TURNS)
    broken[20 * RATE] = np.nan
    with pytest.raises(BadSamples, match="NaN"):
        timeline(identifier, encoded(broken, "FLOAT"))


def test_a_recording_that_is_cut_off(identifier):
    clip = encoded(talk(*TURNS))[: 15 * 2 * RATE]
    found = timeline(identifier, clip)
    assert found.seconds == pytest.approx(15.0, abs=0.1)
    assert "cut off" in found.warnings[0]
    assert found.to_dict()["warnings"] == list(found.warnings)
    with pytest.raises(TruncatedAudio):
        timeline(identifier, clip, settings=Settings(strict=True))


def test_galleries_and_files_that_cannot_name(identifier, gallery, tmp_path):
    gallery.remove("ada")
    gallery.remove("ben")
    with pytest.raises(EmptyGallery):
        by_gallery(gallery)
    other = write_other_model(identifier.model_file.path, tmp_path / "other.onnx")
    with pytest.raises(ForeignModel):
        by_gallery(Gallery(gallery.path, other))
    with pytest.raises(NoSpeakers):
        by_model(identifier)


def test_rttm(identifier):
    found = timeline(identifier, talk(("ada", 3.0)))
    (line,) = found.rttm()
    fields = line.split()
    assert fields[:3] == ["SPEAKER", "-", "1"]
    assert float(fields[3]) == pytest.approx(0.8, abs=0.05)
    assert float(fields[4]) == pytest.approx(3.0, abs=0.1)
    assert fields[5:] == ["<NA>", "<NA>", "unknown-1", "<NA>", "<NA>"]
    named = Timeline("a b/my file.wav", 1, 1, found.speakers, found.segments, "m", "p")
    assert next(named.rttm()).startswith("SPEAKER my_file 1 ")


def test_progress_is_told(identifier):
    told = []
    timeline(identifier, talk(*TURNS), progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == pytest.approx((27.0, 27.0), abs=0.01)


def test_thresholds_are_known_by_the_source(identifier):
    from dataclasses import replace

    assert threshold_of(identifier.metadata) == OTHERS
    source = "CAM++ by 3D-Speaker, iic/speech_campplus_sv_zh_en_16k-common_advanced, out of a wheel"
    assert threshold_of(replace(identifier.metadata, source=source)) != OTHERS
