"""Files whose writer did not know their length, and files behind one another."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile

from tests.faults.check import decoded, refused
from tests.faults.conftest import CLEAN
from tests.faults.make import UNKNOWN, chunk, ds64, encoded, fmt, id3, pcm16, rf64, riff, sound, wav
from voxedge.audio import frames
from voxedge.errors import TooShort

PCM = pcm16(CLEAN)
DATA = chunk(b"data", PCM)
WAV = wav(CLEAN)
OPEN_DATA = chunk(b"data", PCM, UNKNOWN)


def open_wav(size: int, order: str = "<") -> bytes:
    """A WAV whose data chunk has a size that its writer did not replace."""
    magic = b"RIFX" if order == ">" else b"RIFF"
    return riff(fmt(order=order), chunk(b"data", pcm16(CLEAN, order), size, order), magic=magic)


#: What writers leave in the data chunk where they do not know the length, or lose power.
NEVER_CLOSED = {
    **{f"{size:#x}": open_wav(size) for size in (0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, UNKNOWN)},
    "0x7fffffff less the header": open_wav(0x7FFFFFFF - 36),
    "0xffffffff less the header": open_wav(UNKNOWN - 44),
    "0, RIFX": open_wav(0, ">"),
    "0x80000000, RIFX": open_wav(0x80000000, ">"),
    "0, RIFF size 0": riff(fmt(), chunk(b"data", PCM, 0), size=0),
    "0, chunks before": riff(chunk(b"JUNK", b"abc"), fmt(), chunk(b"data", PCM, 0)),
    "0, ID3 before": id3() + open_wav(0),
    "0, mu-law": riff(fmt(bits=8, tag=7), chunk(b"data", PCM, 0)),
    "RF64 of 0 bytes": rf64(ds64(0), fmt(), OPEN_DATA),
    "RF64 of 2^63 - 1 bytes": rf64(ds64(2**63 - 1), fmt(), OPEN_DATA),
    "RF64 of 2^64 - 1 bytes": rf64(ds64(2**64 - 1), fmt(), OPEN_DATA),
}


@pytest.mark.parametrize("data", NEVER_CLOSED.values(), ids=NEVER_CLOSED)
def test_a_wav_that_was_never_closed_is_read_to_its_end(data):
    audio = decoded(data)
    assert audio.warnings == ("the header does not say how long the audio is: read to the end",)
    assert decoded(data, strict=True).warnings == audio.warnings
    if b"\x07\0" not in data[:40]:  # mu-law
        assert np.array_equal(audio.samples, CLEAN)
    assert len(audio.samples) == len(PCM) // (1 if b"\x07\0" in data[:40] else 2)


def with_sizes(data: bytes, sizes: dict[int, int], order: str = ">") -> bytes:
    """Data with 32-bit sizes at these offsets."""
    changed = bytearray(data)
    for at, size in sizes.items():
        changed[at : at + 4] = struct.pack(order + "I", size)
    return bytes(changed)


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, UNKNOWN])
def test_an_au_or_aiff_that_was_never_closed_is_read_to_its_end(size):
    au, aiff = encoded(CLEAN, "AU"), encoded(CLEAN, "AIFF")
    little = io.BytesIO()
    soundfile.write(little, CLEAN, 16_000, endian="LITTLE", format="AU")
    comm, ssnd = aiff.index(b"COMM"), aiff.index(b"SSND")
    for data in (
        with_sizes(au, {8: size}),
        with_sizes(little.getvalue(), {8: size}, "<"),
        with_sizes(aiff, {4: size, comm + 10: size // 2, ssnd + 4: size}),
    ):
        audio = decoded(data, strict=True)
        assert audio.warnings == ("the header does not say how long the audio is: read to the end",)
        assert np.array_equal(audio.samples, CLEAN)


def test_a_wav_without_samples_is_not_taken_for_one_that_was_never_closed():
    for rest in (b"", chunk(b"LIST", b"INFO"), chunk(b"LIST", b"INFO") + b"\0" * 99):
        refused(riff(fmt(), chunk(b"data")) + rest, TooShort, "no samples")


JOINED = {
    "WAV": (WAV, "WAV"),
    "WAV of an odd size, not padded": (riff(fmt(), chunk(b"data", PCM + b"\x7f"))[:-1], "WAV"),
    "WAV with a LIST behind": (riff(fmt(), DATA, chunk(b"LIST", b"INFO")), "WAV"),
    "WAV to a pipe": (open_wav(UNKNOWN), "WAV"),
    "WAV never closed": (open_wav(0), "WAV"),
    "WAV behind ID3": (id3() + WAV, "WAV"),
    "RF64": (rf64(ds64(len(PCM)), fmt(), OPEN_DATA), "WAV"),
    "RIFX": (open_wav(len(PCM), ">"), "WAV"),
    "FLAC": (encoded(CLEAN, "FLAC"), "FLAC"),
    "AIFF": (encoded(CLEAN, "AIFF"), "AIFF"),
    "AU": (encoded(CLEAN, "AU"), "AU"),
    "CAF": (encoded(CLEAN, "CAF"), "CAF"),
    "W64": (encoded(CLEAN, "W64"), "W64"),
    "VOC": (encoded(CLEAN, "VOC"), "VOC"),
    "SPHERE": (encoded(CLEAN, "NIST"), "SPHERE"),
    "Vorbis": (encoded(CLEAN, "OGG", "VORBIS"), "Ogg"),
    "Opus": (encoded(CLEAN, "OGG", "OPUS"), "Ogg"),
    "MP3": (encoded(CLEAN, "MP3"), "MP3"),
}


@pytest.mark.parametrize(("first", "name"), JOINED.values(), ids=JOINED)
def test_of_two_files_in_one_the_first_is_used_with_a_warning(first, name):
    """``cat a.wav b.wav | voxedge identify -``."""
    alone, second = decoded(first), first[first.find(b"RIF") :] if b"ID3" in first else first
    joined = decoded(first + second)
    assert np.array_equal(joined.samples, alone.samples)
    another = f"another {name} file follows: its {len(second)} bytes are not used"
    assert joined.warnings == (*alone.warnings, another)
    assert decoded(first + second, strict=True).warnings == joined.warnings


def test_an_mp3_of_unknown_length_is_used_to_its_end():
    """Streams and broadcasts are joined from parts, each with its tags."""
    mp3 = encoded(sound(2.0), "MP3")
    part = mp3[frames.mpeg(mp3[:7]).size :]  # without the frame that states the length
    once = decoded(part)
    assert once.warnings == ()
    assert len(decoded(part + id3() + part).samples) > 1.9 * len(once.samples)
