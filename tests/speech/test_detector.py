from __future__ import annotations

import numpy as np
import pytest
import soundfile
import soxr

from tests.speech.test_network import OFFICIAL, glide
from voxedge.speech.detector import FRAME_SECONDS, SpeechDetector, speech_probabilities

RATE = 16_000


@pytest.mark.parametrize("sizes", [(1,), (511, 1), (512,), (160,), (513, 5_000), (40_000,)])
def test_a_stream_in_pieces_of_any_size_gives_the_same_probabilities(sizes):
    sound, detector = glide(), SpeechDetector()
    if sizes == (1,):
        sound = sound[:2_000]
    found, start, turn = [], 0, 0
    while start < len(sound):
        size = sizes[turn % len(sizes)]
        before = start // 512
        part = detector.feed(sound[start : start + size])
        start, turn = min(start + size, len(sound)), turn + 1
        assert len(part) == start // 512 - before  # as soon as a frame is complete
        found.append(part)
    whole = speech_probabilities(sound, RATE)
    assert np.concatenate(found) == pytest.approx(whole[: len(sound) // 512], abs=1e-5)
    assert all(part.dtype == np.float32 for part in found)


def test_many_frames_at_once_are_computed_in_blocks():
    sound = np.tile(glide(), 3)[: 180 * 512]
    detector = SpeechDetector()
    parts = [detector.feed(sound[start : start + 512]) for start in range(0, len(sound), 512)]
    assert speech_probabilities(sound, RATE) == pytest.approx(np.concatenate(parts), abs=1e-5)


def test_reset_begins_another_stream():
    sound, detector = glide()[: 60 * 512], SpeechDetector()
    first = detector.feed(sound)
    assert np.abs(detector.feed(sound) - first).max() > 0.1
    detector.feed(sound[:100])  # an incomplete frame is forgotten as well
    detector.reset()
    assert detector.feed(sound) == pytest.approx(first, abs=1e-6)


def test_detectors_do_not_disturb_each_other():
    one, other = SpeechDetector(), SpeechDetector()
    alone = SpeechDetector().feed(glide())
    found = []
    for start in range(0, 32_000, 1_000):
        found.append(one.feed(glide()[start : start + 1_000]))
        other.feed(np.zeros(700, np.float32))
    assert np.concatenate(found) == pytest.approx(alone[: sum(map(len, found))], abs=1e-5)


def test_the_last_frame_of_a_clip_is_filled_up():
    assert len(speech_probabilities(np.zeros(1, np.float32), RATE)) == 1
    assert len(speech_probabilities(glide()[: 512 * 9 + 1], RATE)) == 10
    assert len(speech_probabilities(glide()[: 512 * 9], RATE)) == 9
    assert len(speech_probabilities(np.zeros(0, np.float32), RATE)) == 0


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_clips_of_other_rates_are_resampled(rate):
    sound = soxr.resample(glide(), RATE, rate)
    found = speech_probabilities(sound, rate)
    assert abs(len(found) - len(OFFICIAL)) <= 1
    same = min(len(found), len(OFFICIAL))
    official = np.array(OFFICIAL)[:same]
    tolerance = 0.35 if rate == 8_000 else 0.05  # above 4 kHz nothing is left
    assert np.mean(np.abs(found[:same] - official)) < tolerance


@pytest.mark.parametrize("sound", ["silence", "a constant", "hiss", "hum"])
def test_what_is_no_speech_is_unlikely_to_be_some(sound):
    time = np.arange(3 * RATE) / RATE
    samples = {
        "silence": np.zeros(len(time)),
        "a constant": np.full(len(time), 0.3),
        "hiss": np.random.default_rng(0).normal(0, 0.05, len(time)),
        "hum": 0.1 * np.sin(100 * np.pi * time),
    }[sound]
    assert np.median(speech_probabilities(samples.astype(np.float32), RATE)) < 0.2


def test_a_recording_is_mostly_speech_and_its_frames_are_where_it_is(real_speech):
    clip = sorted((real_speech / "speechocean762" / "known" / "so0001").iterdir())[0]
    samples, rate = soundfile.read(clip, dtype="float32")
    speech = speech_probabilities(samples, rate) > 0.5
    assert speech.mean() > 0.4
    later = speech_probabilities(np.append(np.zeros(2 * rate, np.float32), samples), rate) > 0.5
    assert not later[: int(1.9 / FRAME_SECONDS)].any()
    assert np.mean(later[-len(speech) :] == speech) > 0.8
