from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import RATE, voice
from voxedge.audio.activity import Activity


def hiss(level: float, seconds: float, rate: int = RATE) -> np.ndarray:
    draw = np.random.default_rng(0).standard_normal(round(seconds * rate))
    return (10 ** (level / 20) * draw).astype(np.float32)


def active_share(samples: np.ndarray, start: float, stop: float, rate: int = RATE) -> float:
    """The active share of the frames between two times in seconds."""
    frames = Activity.of(samples, rate).count(round(start * rate), round(stop * rate))
    return frames / (50 * (stop - start))


@pytest.mark.parametrize("level", [-100, -75, -60, -50, -40])
def test_speech_is_active_and_hiss_is_not(level):
    clip = hiss(level, 10)
    clip[3 * RATE : 6 * RATE] += voice(110, 3, 1)
    activity = Activity.of(clip, RATE)
    assert active_share(clip, 3, 6) > 0.5
    assert active_share(clip, 0, 3) == active_share(clip, 6, 10) == 0
    start, stop = activity.span()
    assert start == pytest.approx(3 * RATE, abs=1_000)
    assert stop == pytest.approx(6 * RATE, abs=1_000)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 48_000])
def test_frames_are_20_ms_at_every_rate(rate):
    clip = hiss(-75, 6, rate)
    clip[2 * rate : 4 * rate] += hiss(-25, 2, rate)
    assert active_share(clip, 0.1, 1.9, rate) == 0
    assert active_share(clip, 2.1, 3.9, rate) == pytest.approx(1, abs=0.02)


def test_an_even_sound_is_active_throughout():
    assert active_share(hiss(-30, 5), 0, 5) == 1


def test_a_constant_changes_nothing():
    clip = hiss(-60, 8)
    clip[:RATE] += voice(110, 1, 1)
    found = Activity.of(clip, RATE).before
    assert np.array_equal(Activity.of(clip + np.float32(0.25), RATE).before, found)


def test_clicks_do_not_hide_the_speech():
    clip = hiss(-75, 10)
    clip[4 * RATE : 6 * RATE] += voice(110, 2, 1) * np.float32(0.05)
    for second in (1, 2, 3, 7, 8):
        clip[second * RATE] = 1
    assert active_share(clip, 4, 6) > 0.8


def test_digital_silence_does_not_lower_the_noise_floor():
    clip = hiss(-55, 6)
    clip[2 * RATE : 4 * RATE] += voice(110, 2, 1)
    silent = np.zeros(20 * RATE, np.float32)
    assert active_share(np.concatenate([silent, clip]), 20, 22) == 0


@pytest.mark.parametrize("samples", [np.zeros(RATE), np.full(RATE, 0.5), np.zeros(0), np.ones(5)])
def test_silence_has_no_active_frame(samples):
    activity = Activity.of(samples.astype(np.float32), RATE)
    assert activity.span() is None
    assert activity.count(0, len(samples)) == 0


def test_frames_within_spans_are_active():
    activity = Activity.within([(0.1, 0.2), (0.19, 0.25), (0.9, 2.0)], RATE, RATE)
    assert np.flatnonzero(activity.active).tolist() == [*range(5, 12), *range(45, 50)]
    assert activity.span() == (5 * 320, RATE)
    assert Activity.within([], RATE, RATE).span() is None


def test_the_active_frames_are_those_of_the_samples():
    samples = np.arange(RATE + 7, dtype=np.float32)
    frames = Activity.within([(0.5, 0.54)], len(samples), RATE).frames(samples)
    assert frames.shape == (2, 320)
    assert np.array_equal(frames.ravel(), samples[RATE // 2 : RATE // 2 + 640])
