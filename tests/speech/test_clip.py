from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import RATE, voice
from voxedge.speech import clip
from voxedge.speech.clip import LEAST_SPEECH, Speech, find_speech
from voxedge.speech.segments import Segment


def hiss(seconds: float, level: float) -> np.ndarray:
    draw = np.random.default_rng(0).standard_normal(round(seconds * RATE))
    return (10 ** (level / 20) * draw).astype(np.float32)


def chord(seconds: float) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    notes = sum(np.sin(2 * np.pi * hertz * time) for hertz in (220, 277.2, 329.6, 440))
    return (0.1 * notes).astype(np.float32)


def test_the_speech_of_a_clip_is_found_where_it_is():
    sound = hiss(8, -60)
    sound[2 * RATE : 5 * RATE] += voice(150, 3, 1)
    found = find_speech(sound, RATE)
    assert found.segments[0].start == pytest.approx(2, abs=0.15)
    assert found.segments[-1].end == pytest.approx(5, abs=0.15)
    assert found.seconds == pytest.approx(3, abs=0.2)
    assert found.unfit is None


@pytest.mark.parametrize("level", [0, -20, -40])
def test_the_level_of_a_clip_changes_nothing(level):
    sound = voice(110, 2, 1)
    softer = find_speech(np.float32(10 ** (level / 20)) * sound, RATE)
    assert softer.segments == find_speech(sound, RATE).segments


@pytest.mark.parametrize(
    "sound",
    [hiss(3, -20), hiss(3, -70), chord(3), np.sin(np.arange(3 * RATE) / 20).astype(np.float32)],
    ids=["loud hiss", "soft hiss", "chord", "tone"],
)
def test_noise_and_music_are_no_speech(sound):
    assert find_speech(sound, RATE).unfit in ("no_speech", "too_little_speech")


@pytest.mark.parametrize("sound", [np.zeros(0), np.zeros(RATE), np.full(RATE, 0.3), np.ones(3)])
def test_silence_needs_no_detector(sound, monkeypatch):
    monkeypatch.setattr(clip, "speech_probabilities", None)
    assert find_speech(sound.astype(np.float32), RATE) == Speech(())
    assert Speech(()).unfit == "no_speech"


def test_segments_end_with_the_clip():
    sound = voice(150, 1.0, 1)[: 512 * 30 + 7]
    assert find_speech(sound, RATE).segments[-1].end == len(sound) / RATE


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_clips_of_other_rates_have_the_same_speech(rate):
    import soxr

    found = find_speech(soxr.resample(voice(150, 2, 1), RATE, rate), rate)
    assert found.seconds == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize(
    ("seconds", "unfit"), [(LEAST_SPEECH - 0.01, "too_little_speech"), (LEAST_SPEECH, None)]
)
def test_a_quarter_of_a_second_is_the_least(seconds, unfit):
    half = seconds / 2
    assert Speech((Segment(0, half), Segment(1, 1 + half))).unfit == unfit


def test_real_speech_passes_and_everyday_noises_do_not(real_speech):
    from voxedge.audio.load import load_audio

    clips = sorted((real_speech / "speechocean762" / "unseen").rglob("*.opus"))[::60]
    assert all(find_speech(load_audio(path, RATE), RATE).unfit is None for path in clips)
    noises = sorted((real_speech / "noise" / "esc10").glob("rain*"))[::8]
    assert all(find_speech(load_audio(path, RATE), RATE).unfit for path in noises)
