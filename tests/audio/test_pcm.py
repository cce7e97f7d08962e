"""Plain WAV files: NumPy reads the same samples as libsndfile."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, voice
from voxedge.audio import load as audio
from voxedge.audio import wav
from voxedge.audio.pcm import PcmSource
from voxedge.errors import BadSamples

PLAIN = ["PCM_U8", "PCM_16", "PCM_32", "FLOAT", "DOUBLE"]
CODED = ["PCM_24", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"]


def wav_bytes(subtype: str, endian: str = "FILE", channels: int = 1, seconds: float = 2.5) -> bytes:
    file = io.BytesIO()
    sound = np.stack([voice(110 + 60 * n, seconds, n) for n in range(channels)], axis=1)
    soundfile.write(file, 3 * sound, RATE, subtype, endian, format="WAV")
    return file.getvalue()


class ShortReads(io.BytesIO):
    """A file that gives 1,001 bytes at most for a read, as a raw one may."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(1_001 if size is None or size < 0 else min(size, 1_001))


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
@pytest.mark.parametrize("subtype", PLAIN)
def test_plain_samples_equal_those_of_libsndfile_bit_by_bit(subtype, endian, channels):
    data = wav_bytes(subtype, endian, channels)
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    layout = wav.parse(io.BytesIO(data), len(data))
    source = PcmSource(ShortReads(data), layout)
    assert (source.rate, source.channels, source.declared_frames) == (RATE, channels, len(expected))
    found = []
    while len(block := source.read_block(np.empty((7_919, channels), np.float32))[0]):
        found.append(block)
    np.testing.assert_array_equal(np.concatenate(found), expected)


@pytest.mark.parametrize("subtype", CODED)
def test_coded_samples_are_decoded_by_libsndfile(subtype):
    data = wav_bytes(subtype)
    assert wav.parse(io.BytesIO(data), len(data)).dtype is None
    expected, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    np.testing.assert_array_equal(audio.load_audio(data, rate), expected)


def test_a_file_that_shrinks_while_it_is_read_gives_the_frames_that_are_left():
    data = wav_bytes("PCM_16")
    layout = wav.parse(io.BytesIO(data), len(data))
    source = PcmSource(io.BytesIO(data[: layout.data_start + 2 * RATE + 1]), layout)
    buffer = np.empty((3 * RATE, 1), np.float32)
    assert [len(source.read_block(buffer)[0]) for _ in range(2)] == [RATE, 0]
    assert source.declared_frames == 2.5 * RATE


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_impossible_values_are_refused(value):
    data = bytearray(wav_bytes("DOUBLE"))
    start = wav.parse(io.BytesIO(data), len(data)).data_start
    data[start + 800 : start + 808] = struct.pack("<d", value)
    with pytest.raises(BadSamples):
        audio.load_audio(bytes(data))
