"""MP3, AAC and AC-3 have no signature: a chain of frame headers tells them from raw samples."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, voice
from voxedge.audio import frames
from voxedge.audio.frames import SEARCHED, begins_with_frames
from voxedge.audio.load import decode
from voxedge.errors import UnreadableAudio

PARSERS = (frames.mpeg, frames.adts, frames.ac3, frames.eac3)


def mp3(rate: int = RATE, channels: int = 1, level: float = 0.5) -> bytes:
    file = io.BytesIO()
    sound = np.random.default_rng(0).normal(0, 0.1, (rate, channels))
    soundfile.write(file, sound, rate, format="MP3", compression_level=level)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    "rate", [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000]
)
def test_an_mp3_of_any_rate_is_one(rate, channels):
    for level in (0.1, 0.5, 0.99):
        assert begins_with_frames(mp3(rate, channels, level)[:SEARCHED], frames.mpeg)


@pytest.mark.parametrize(
    ("parse", "head", "size"),
    [
        (frames.mpeg, "fffb9000000000", 417),  # MPEG 1 layer 3, 128 kbit/s, 44.1 kHz
        (frames.mpeg, "fffb9200000000", 418),  # padded
        (frames.mpeg, "fff34800000000", 144),  # MPEG 2 layer 3, 32 kbit/s, 16 kHz
        (frames.mpeg, "ffe34800000000", 288),  # MPEG 2.5 layer 3, 32 kbit/s, 8 kHz
        (frames.mpeg, "fffd8000000000", 417),  # MPEG 1 layer 2, 128 kbit/s
        (frames.mpeg, "ffffe000000000", 484),  # MPEG 1 layer 1, 448 kbit/s, in slots of 4 bytes
        (frames.adts, "fff15080020000", 16),
        (frames.ac3, "0b770000144000", 768),  # 192 kbit/s, 48 kHz
        (frames.eac3, "0b7700ff008000", 512),
    ],
)
def test_the_size_of_a_frame(parse, head, size):
    found = parse(bytes.fromhex(head))
    assert found is not None
    assert found.size == size


@pytest.mark.parametrize(
    "head",
    [
        "0000000000ffff",
        "fffb000000ffff",  # a free bitrate
        "fffbf000000000",  # a bitrate that is not allowed
        "fffb9c00000000",  # a rate that is not allowed
        "ffeb9000000000",  # a version that is not allowed
        "fff15080000000",  # an AAC frame that is shorter than its header
        "0b770000ff4000",
        "0b77000000f800",
    ],
)
def test_what_is_no_header(head):
    assert not any(parse(bytes.fromhex(head)) for parse in PARSERS)


def test_a_damaged_frame_near_the_start_does_not_matter():
    data = bytearray(mp3())
    first = frames.mpeg(bytes(data[:7]))
    assert first is not None
    data[first.size : first.size + 4] = b"\0\0\0\0"
    assert begins_with_frames(bytes(data[:SEARCHED]), frames.mpeg)
    data[0] = 0
    assert not begins_with_frames(bytes(data[:SEARCHED]), frames.mpeg)


#: What raw samples may begin with, and what passed for MP3 before.
STARTS = ("fffb", "fff3", "fffe", "fffe4208", "fffe6703", "ffe3", "fff1", "fff9", "0b77", "fffd")


@pytest.mark.parametrize("start", STARTS)
def test_raw_samples_are_not_taken_for_frames(start):
    begin = bytes.fromhex(start)
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(0, 1_000, RATE).astype("<i2").tobytes()
        speech = np.rint(20_000 * voice(150, 1.0, seed)).astype("<i2").tobytes()
        for samples in (noise, speech):
            data = begin + samples[len(begin) :]
            assert not any(begins_with_frames(data[:SEARCHED], parse) for parse in PARSERS)
    with pytest.raises(UnreadableAudio, match="--raw s16le,16000,1"):
        decode(data, RATE)
