"""Containers that lie: they contradict the file, themselves, or the file's name."""

from __future__ import annotations

import numpy as np
import pytest

from tests.faults.check import cut_off, decoded, refused, same
from tests.faults.conftest import CLEAN
from tests.faults.make import UNKNOWN, chunk, ds64, encoded, fmt, id3, pcm16, rf64, riff, wav
from voxedge.errors import TooShort, UnreadableAudio

PCM = pcm16(CLEAN)
DATA = chunk(b"data", PCM)
WAV = wav(CLEAN)
OPEN_DATA = chunk(b"data", PCM, UNKNOWN)
RANDOM = np.random.default_rng(11)

NOT_AUDIO = {
    "empty": b"",
    "one byte": b"R",
    "RIFF and 12 bytes": b"RIFF" + bytes(12),
    "RIFF of another kind": b"RIFF\x20\0\0\0AVI " + bytes(64),
    "nothing behind the head": b"RIFF\x04\0\0\0WAVE",
    "fmt without data": riff(fmt()),
    "data without fmt": riff(DATA),
    "data before fmt": riff(DATA, fmt()),
    "two fmt chunks": riff(fmt(), fmt(), DATA),
    "two data chunks": riff(fmt(), DATA, DATA),
    "fmt of 14 bytes": riff(chunk(b"fmt ", fmt()[8:22]), DATA),
    "fmt of 8 KiB": riff(fmt(extra=bytes(8192)), DATA),
    "fmt that runs past the file": riff(chunk(b"fmt ", fmt()[8:], 0x7FFFFFFF)),
    "block_align 0": riff(fmt(block=0), DATA),
    "block_align 1": riff(fmt(block=1), DATA),
    "block_align 3": riff(fmt(block=3), DATA),
    "block_align 65535": riff(fmt(block=65535), DATA),
    "LIST over everything": riff(fmt(), chunk(b"LIST", b"INFO", UNKNOWN), DATA),
    "LIST of negative length": riff(fmt(), chunk(b"LIST", b"INFO", 0x80000000), DATA),
    "70,000 JUNK chunks": riff(*[chunk(b"JUNK")] * 70_000, fmt(), DATA),
    "RF64 without ds64": rf64(fmt(), OPEN_DATA),
    "RF64 with half a ds64": rf64(chunk(b"ds64", bytes(12)), fmt(), OPEN_DATA),
    "HTML": b"<!DOCTYPE html>\n<html><body>404</body></html>\n" * 50,
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + RANDOM.bytes(5000),
    "ELF": b"\x7fELF\x02\x01\x01" + bytes(9) + RANDOM.bytes(5000),
    "ZIP": b"PK\x03\x04" + RANDOM.bytes(5000),
    "text": b"not a sound at all\n" * 300,
    "zeros": bytes(20_000),
    "random": RANDOM.bytes(20_000),
    "ID3 and nothing": id3(),
    "ID3 that runs past the file": id3()[:10],
    "100 ID3 tags": id3(0) * 100 + WAV,
    "MP3 sync and zeros": b"\xff\xfb\x90\x00" + bytes(5000),
}


@pytest.mark.parametrize("data", NOT_AUDIO.values(), ids=NOT_AUDIO)
def test_what_is_not_audio_is_refused(data, tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(data)
    refused(path, UnreadableAudio)
    refused(data, UnreadableAudio)


def test_every_cut_through_a_header_is_refused():
    for length in range(1, 44):
        refused(WAV[:length], UnreadableAudio)
    refused(WAV[:44], TooShort, "no samples")


SOUND = {
    "RIFF size 0": riff(fmt(), DATA, size=0),
    "RIFF size 0xFFFFFFFF": riff(fmt(), DATA, size=UNKNOWN),
    "RIFF size one short": riff(fmt(), DATA, size=len(WAV) - 9),
    "odd trailing byte": WAV + b"\0",
    "odd byte within data": riff(fmt(), chunk(b"data", PCM + b"\x7f")),
    "odd byte within data, not padded": riff(fmt(), chunk(b"data", PCM + b"\x7f"))[:-1],
    "20,000 JUNK chunks before": riff(*[chunk(b"JUNK", b"abc")] * 20_000, fmt(), DATA),
    "20,000 JUNK chunks after": riff(fmt(), DATA, *[chunk(b"JUNK", b"abc")] * 20_000),
    "a LIST before": riff(chunk(b"LIST", b"INFOISFT\x04\0\0\0abc\0"), fmt(), DATA),
    "RF64": rf64(ds64(len(PCM)), fmt(), OPEN_DATA),
    "ID3 before WAV": id3() + WAV,
    "two ID3 before WAV": id3(0) + id3(7) + WAV,
    "ID3 before RF64": id3() + rf64(ds64(len(PCM)), fmt(), OPEN_DATA),
    "ID3 before FLAC": id3(0) + encoded(CLEAN, "FLAC"),
    "false bytes a second": riff(fmt()[:16] + bytes(4) + fmt()[20:], DATA),
}


@pytest.mark.parametrize("data", SOUND.values(), ids=SOUND)
def test_audio_that_is_whole_decodes_without_a_warning(data):
    same(decoded(data), CLEAN)
    same(decoded(data, strict=True), CLEAN)


WARNED = {
    "data size below": (riff(fmt(), chunk(b"data", PCM, len(PCM) // 2)), 0.5, "are not used"),
    "LIST that runs past the end": (
        riff(fmt(), DATA, chunk(b"LIST", b"INFO", UNKNOWN)),
        1.0,
        "are not used",
    ),
    "printable audio behind the declared": (
        riff(fmt(), chunk(b"data", PCM + b"dddd" * 4000, len(PCM))),
        1.0,
        "are not used",
    ),
}


@pytest.mark.parametrize(("data", "part", "warning"), WARNED.values(), ids=WARNED)
def test_what_is_declared_is_decoded_with_a_warning(data, part, warning):
    audio = decoded(data)
    assert np.array_equal(audio.samples, CLEAN[: round(part * len(CLEAN))])
    assert len(audio.warnings) == 1
    assert warning in audio.warnings[0]


CUT = {
    "in the middle": WAV[: len(WAV) // 2],
    "in the middle of a sample": WAV[: len(WAV) // 2 + 1],
    "data size above": riff(fmt(), chunk(b"data", PCM, 2 * len(PCM))),
    "data size 0x7FFF0000": riff(fmt(), chunk(b"data", PCM, 0x7FFF0000)),
    "data size 0x80000001": riff(fmt(), chunk(b"data", PCM, 0x80000001)),
    "RF64 of 2^62 bytes": rf64(ds64(2**62), fmt(), OPEN_DATA),
}


@pytest.mark.parametrize("data", CUT.values(), ids=CUT)
def test_a_cut_is_a_warning_and_with_strict_an_error(data):
    audio = cut_off(data)
    assert 8_000 - 44 <= len(audio.samples) <= 16_000
    assert np.array_equal(audio.samples, CLEAN[: len(audio.samples)])


@pytest.mark.parametrize("kind", ["AIFF", "AU", "CAF", "W64", "VOC"])
def test_a_cut_of_another_container_is_a_warning_too(kind):
    data = encoded(CLEAN, kind)
    same(decoded(data), CLEAN)
    audio = cut_off(data[: len(data) * 9 // 10])
    assert np.array_equal(audio.samples, CLEAN[: len(audio.samples)])
    assert 0.8 < len(audio.samples) / len(CLEAN) < 0.9


def test_an_mp3_is_recognised_under_any_name(tmp_path):
    mp3 = encoded(CLEAN, "MP3")
    clean = decoded(mp3)
    path = tmp_path / "clip.wav"
    path.write_bytes(mp3)
    same(decoded(path), clean.samples)
    for size in (0, 200, 2_000_000):
        path.write_bytes(id3(size) + mp3)
        same(decoded(path), clean.samples)
