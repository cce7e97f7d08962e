"""Extreme formats: rates, channels and sample types, valid and impossible ones."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from tests.faults.check import MEGABYTES, decoded, measured, refused, same
from tests.faults.conftest import CLEAN
from tests.faults.make import (
    RATE,
    UNKNOWN,
    chunk,
    encoded,
    float_wav,
    fmt,
    pcm16,
    riff,
    sound,
)
from voxedge import Identifier
from voxedge.errors import OutsideLimits, UnreadableAudio

PCM = pcm16(CLEAN)


def integers(samples: np.ndarray, bits: int, order: str = "<") -> bytes:
    """Little or big endian integers in whole bytes, the sample in the upper bits."""
    width = (bits + 7) // 8
    values = np.rint(samples.astype(np.float64) * 2 ** (bits - 1)).astype(np.int64)
    values <<= 8 * width - bits
    if bits == 8:
        values += 128
    raw = values.astype(order + "i8").tobytes()
    rows = np.frombuffer(raw, np.uint8).reshape(-1, 8)
    return (rows[:, :width] if order == "<" else rows[:, 8 - width :]).tobytes()


@pytest.mark.parametrize("rate", [0, 1, 3_999, 384_001, 768_000, 2**31 - 1, UNKNOWN])
def test_a_sample_rate_outside_the_limits_is_refused(rate):
    refused(riff(fmt(rate=rate), chunk(b"data", PCM)), OutsideLimits, f"{rate} Hz")


@pytest.mark.parametrize("kind", ["AU", "AIFF", "CAF", "W64"])
def test_rates_and_channels_are_limited_in_every_container(kind):
    refused(encoded(CLEAN, kind, rate=1), OutsideLimits, "1 Hz")
    refused(encoded(CLEAN, kind, rate=2**31 - 1), OutsideLimits, "Hz")
    refused(encoded(np.zeros((8_000, 33), np.float32), kind), OutsideLimits, "33 channels")
    refused(encoded(np.zeros((8_000, 1024), np.float32), kind), OutsideLimits, "1024 channels")


@pytest.mark.parametrize("rate", [4_000, 11_025, 44_100, 44_101, 48_000, 384_000])
def test_an_accepted_rate_is_resampled_to_the_same_sound(rate):
    """A tone stays at its pitch and level, whatever its rate."""
    time = np.arange(rate) / rate
    audio = decoded(float_wav((0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32), rate))
    assert len(audio.samples) == pytest.approx(RATE, abs=2)
    assert (audio.seconds, audio.source_rate, audio.warnings) == (1.0, rate, ())
    middle = audio.samples[2_000:14_000]
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2_000, 14_000) / RATE)
    np.testing.assert_allclose(middle, expected, atol=2e-3)


@pytest.mark.parametrize("channels", [0, 33, 1_024, 65_535])
def test_channels_outside_the_limits_are_refused(channels):
    data = riff(fmt(channels=channels, bits=8), chunk(b"data", bytes(200_000)))
    refused(data, OutsideLimits, f"{channels} channels")


def test_an_au_of_65535_channels_is_refused():
    data = bytearray(encoded(CLEAN, "AU"))
    data[20:24] = struct.pack(">I", 65_535)
    refused(bytes(data), UnreadableAudio)


def test_32_channels_become_their_mean():
    many = CLEAN[:, None] * np.linspace(0.1, 1, 32, dtype=np.float32)
    same(decoded(float_wav(many)), many.mean(axis=1), 1e-7)


def test_opposite_phase_stereo_is_the_voice_and_not_what_the_mean_leaves(small_file):
    """The mean of the channels would hold nothing but their noise."""
    noise = 10 ** (-60 / 20) * np.random.default_rng(0).standard_normal((len(CLEAN), 2))
    opposite = float_wav(np.stack([CLEAN, -CLEAN], axis=1) + noise.astype(np.float32))
    answer = Identifier(small_file, any_sound=True).identify(opposite)
    alone = Identifier(small_file, any_sound=True).identify(float_wav(CLEAN))
    assert answer.speaker == alone.speaker
    assert answer.predictions[0].probability == pytest.approx(
        alone.predictions[0].probability, abs=0.01
    )
    assert answer.warnings == (
        "the channels are in opposite phase for 1.0 of 1.0 s: the stronger one is used there",
    )


GUID = b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
EXTENSIBLE = struct.pack("<HHI", 22, 24, 4) + b"\x01\0" + GUID

FORMATS = {
    "unsigned 8 bit": (riff(fmt(bits=8), chunk(b"data", integers(CLEAN, 8))), 2**-8),
    "12 bit": (riff(fmt(bits=12), chunk(b"data", integers(CLEAN, 12))), 2**-12),
    "16 bit": (riff(fmt(bits=16), chunk(b"data", integers(CLEAN, 16))), 0),
    "24 bit": (riff(fmt(bits=24), chunk(b"data", integers(CLEAN, 24))), 0),
    "32 bit": (riff(fmt(bits=32), chunk(b"data", integers(CLEAN, 32))), 0),
    "24 bit in 32, extensible": (
        riff(fmt(bits=32, tag=0xFFFE, extra=EXTENSIBLE), chunk(b"data", integers(CLEAN, 32))),
        0,
    ),
    "float32": (float_wav(CLEAN), 0),
    "float64": (float_wav(CLEAN.astype(np.float64)), 0),
    "mu-law": (encoded(CLEAN, "WAV", "ULAW"), 2**-6),
    "A-law": (encoded(CLEAN, "WAV", "ALAW"), 2**-6),
    "16 bit RIFX": (
        riff(fmt(order=">"), chunk(b"data", integers(CLEAN, 16, ">"), order=">"), magic=b"RIFX"),
        0,
    ),
    "24 bit RIFX": (
        riff(
            fmt(bits=24, order=">"),
            chunk(b"data", integers(CLEAN, 24, ">"), order=">"),
            magic=b"RIFX",
        ),
        0,
    ),
    "float32 RIFX": (
        riff(
            fmt(bits=32, tag=3, order=">"),
            chunk(b"data", CLEAN.astype(">f4").tobytes(), order=">"),
            magic=b"RIFX",
        ),
        0,
    ),
    "AIFF": (encoded(CLEAN, "AIFF"), 0),
    "FLAC": (encoded(CLEAN, "FLAC"), 0),
}


@pytest.mark.parametrize(("data", "step"), FORMATS.values(), ids=FORMATS)
def test_every_sample_type_is_the_same_sound_within_quantisation(data, step):
    same(decoded(data), CLEAN, step)


@pytest.mark.parametrize("subtype", ["MS_ADPCM", "IMA_ADPCM", "GSM610", "G721_32"])
def test_broken_adpcm_never_hangs_or_crashes(subtype, watchdog):
    """Block sizes, samples a block and coefficients that contradict each other."""
    data = encoded(sound(0.4), "WAV", subtype)
    assert watchdog.decode(data).startswith("ok ")
    draw = random.Random(subtype)
    for _ in range(60):
        broken = bytearray(data)
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(20, 90)
            broken[at : at + 2] = draw.choice([b"\0\0", b"\xff\xff", b"\x01\0", b"\0\x80"])
        answer = watchdog.decode(bytes(broken))
        assert answer.split()[0] not in ("HANGS", "CRASHED", "BUG"), bytes(broken[:90]).hex()


def test_a_rate_of_44101_hz_takes_less_than_two_seconds(tmp_path):
    """It has no small ratio to 16,000. A minute of it, in a process of its own."""
    path = tmp_path / "clip.wav"
    path.write_bytes(riff(fmt(rate=44_101), chunk(b"data", pcm16(sound(60.0, 44_101)))))
    (cost,) = measured(path)
    assert (cost.code, cost.seconds) == ("ok", 60.0)
    assert cost.spent < 2
    assert cost.peak < MEGABYTES
