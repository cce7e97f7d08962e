"""Channels in opposite phase: their mean is not the voice."""

from __future__ import annotations

import numpy as np
import pytest

from tests.audio.test_load import encoded
from tests.conftest import RATE, voice
from voxedge.audio.arrays import from_array
from voxedge.audio.downmix import BLOCK
from voxedge.audio.load import decode

SOUND = voice(150, 4.0, 1)
OTHER = voice(205, 4.0, 2)
TIME = np.arange(len(SOUND)) / RATE
RANDOM = np.random.default_rng(0)


def noise(decibels: float, channels: int = 2) -> np.ndarray:
    """Independent in each channel; dBFS."""
    return 10 ** (decibels / 20) * RANDOM.standard_normal((len(SOUND), channels))


def hum(level: float) -> np.ndarray:
    return level * np.sin(2 * np.pi * 50 * TIME)[:, None]


def columns(*channels: np.ndarray) -> np.ndarray:
    return np.stack(channels, axis=1)


OPPOSITE = {
    "exactly": columns(SOUND, -SOUND),
    "noise at -70 dBFS": columns(SOUND, -SOUND) + noise(-70),
    "noise at -60 dBFS": columns(SOUND, -SOUND) + noise(-60),
    "noise at -40 dBFS": columns(SOUND, -SOUND) + noise(-40),
    "the other weaker": columns(SOUND, -0.6 * SOUND) + noise(-60),
    "the other stronger": columns(0.6 * SOUND, -SOUND) + noise(-60),
    "the same hum": columns(SOUND, -SOUND) + hum(0.1),
    "the same offset": columns(SOUND, -SOUND) + 0.3 + noise(-60),
    "late by a sample": columns(SOUND, -np.roll(SOUND, 1)) + noise(-60),
    "four channels": columns(SOUND, -SOUND, SOUND, -SOUND) + noise(-60, 4),
    "one of three silent": columns(SOUND, -SOUND, 0 * SOUND) + noise(-60, 3),
}


@pytest.mark.parametrize("samples", OPPOSITE.values(), ids=OPPOSITE)
def test_of_opposite_channels_one_is_used_with_a_warning(samples):
    samples = samples.astype(np.float32)
    clip = from_array(samples, RATE, RATE)
    assert any(np.array_equal(clip.samples, channel) for channel in samples.T)
    mean = samples.mean(axis=1) + 1e-9 * np.sin(TIME)  # not exactly silent
    ours, theirs = (abs(np.corrcoef(x, SOUND)[0, 1]) for x in (clip.samples, mean))
    assert ours > max(0.5, theirs) or ours > 0.999
    assert len(clip.warnings) == 1
    assert "4.0 of 4.0 s" in clip.warnings[0]
    read = decode(encoded(samples, subtype="FLOAT"), RATE)
    np.testing.assert_array_equal(read.samples, clip.samples)
    assert read.warnings == clip.warnings


def test_the_stronger_channel_is_used():
    weak, strong = 0.6 * SOUND, -SOUND
    clip = from_array(columns(weak, strong), RATE, RATE)
    np.testing.assert_array_equal(clip.samples, strong)
    clip = from_array(columns(strong, weak), RATE, RATE)
    np.testing.assert_array_equal(clip.samples, strong)


TOGETHER = {
    "equal": columns(SOUND, SOUND),
    "equal in noise": columns(SOUND, SOUND) + noise(-40),
    "one weak": columns(SOUND, 0.1 * SOUND),
    "one silent": columns(SOUND, 0 * SOUND) + noise(-60),
    "one weak and opposite": columns(SOUND, -0.2 * SOUND),
    "two voices": columns(SOUND, OTHER),
    "two microphones": columns(SOUND, 0.7 * np.roll(SOUND, 13)) + noise(-50),
    "noise alone": noise(-30),
    "noise of four channels": noise(-30, 4),
    "silence": np.zeros((len(SOUND), 2)),
    "offsets": np.ones((len(SOUND), 2)) * [0.5, -0.5],
    "denormals": columns(SOUND, -SOUND) * 1e-40,
}


@pytest.mark.parametrize("samples", TOGETHER.values(), ids=TOGETHER)
def test_other_channels_are_averaged_without_a_warning(samples):
    samples = samples.astype(np.float32)
    clip = from_array(samples, RATE, RATE)
    assert not any("phase" in warning for warning in clip.warnings)
    np.testing.assert_array_equal(clip.samples, samples.mean(axis=1))


def test_a_clip_that_is_opposite_for_a_part_is_used_whole():
    half = BLOCK // 2
    part = columns(SOUND, np.where(np.arange(len(SOUND)) < half, SOUND, -SOUND))
    clip = from_array(part, RATE, RATE)
    np.testing.assert_array_equal(clip.samples, SOUND)
    assert "2.0 of 4.0 s" in clip.warnings[0]


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000, 96_000])
def test_opposite_channels_of_any_rate(rate):
    import soxr

    there = soxr.resample(SOUND, RATE, rate)
    samples = np.stack([there, -there], axis=1).astype(np.float32)
    clip = from_array(samples, rate, RATE)
    assert "opposite phase" in clip.warnings[0]
    size = min(len(clip.samples), len(SOUND))
    assert abs(np.corrcoef(clip.samples[:size], SOUND[:size])[0, 1]) > 0.95
