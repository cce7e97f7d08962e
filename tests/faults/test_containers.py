"""Containers with false headers: they contradict the file, themselves, or the file's name."""

from __future__ import annotations

import io
import itertools
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.check import cut_off, decoded, refused, same
from tests.faults.conftest import CLEAN
from tests.faults.make import (
    UNKNOWN,
    chunk,
    encoded,
    fmt,
    id3,
    pcm16,
    riff,
    sound,
    wav,
)
from voxedge.audio import frames
from voxedge.audio.load import decode
from voxedge.errors import AudioError, OutsideLimits, TooShort, UnreadableAudio

PCM = pcm16(CLEAN)
DATA = chunk(b"data", PCM)
WAV = wav(CLEAN)
RANDOM = np.random.default_rng(11)


def ds64(data_bytes: int) -> bytes:
    return chunk(b"ds64", struct.pack("<QQQI", (data_bytes + 80) % 2**64, data_bytes, 0, 0))


def rf64(*chunks: bytes) -> bytes:
    return riff(*chunks, magic=b"RF64", size=UNKNOWN)


OPEN_DATA = chunk(b"data", PCM, UNKNOWN)

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


def test_no_decoder_prints_to_stdout(capfd):
    refused(encoded(CLEAN, "SDS", "PCM_16"), UnreadableAudio)
    flipped = bytearray(encoded(CLEAN, "SDS", "PCM_16"))
    flipped[30:200:7] = b"\xff" * len(flipped[30:200:7])
    refused(bytes(flipped), UnreadableAudio)
    assert capfd.readouterr().out == ""


def test_the_crafted_info_chunk_that_hangs_libsndfile_does_not_hang_us(watchdog):
    """Its issue 1118: a sub-chunk of LIST/INFO whose size wraps around."""
    hostile = chunk(b"LIST", b"INFOabcd\xf8\xff\xff\xff" + b"abcdefgh" * 6)
    assert watchdog.decode(riff(fmt(), hostile, DATA)) == f"ok {len(CLEAN)}"
    assert watchdog.decode(riff(fmt(), DATA, hostile)) == f"ok {len(CLEAN)}"
    for size in range(12):
        assert watchdog.decode(id3(size) + riff(fmt(), hostile, DATA)) == f"ok {len(CLEAN)}"
    assert watchdog.decode(rf64(ds64(len(PCM)), hostile, fmt(), OPEN_DATA)) == f"ok {len(CLEAN)}"


MAGICS = (
    *(b"fLaC", b"OggS", b"FORM\0\0\0\x20AIFF", b"FORM\0\0\0\x20abcd", b".snd", b"dns."),
    *(b"caff\0\1\0\0desc", b"caff\0\1\0\0abcd", b"Creative Voice File\x1a", b"NIST_1A\n   1024\n"),
    b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0",
    *(
        bytes([0xFF, second, third])
        for second in (0xE3, 0xEB, 0xF9, 0xFB, 0xFF)
        for third in (0x90, 0xFC)
    ),
    *(b"ID3" + bytes([version]) + bytes(6) + b"\xff\xfb\x90" for version in (0, 2, 3, 4, 7)),
)


def test_what_only_begins_like_audio_never_opens_a_file_beside_it(watchdog):
    """libsndfile looks for a resource fork ``._`` in the current folder: here, a FIFO."""
    for magic, rest in itertools.product(MAGICS, (bytes(2000), RANDOM.bytes(2000))):
        assert watchdog.decode(magic + rest) == "unreadable", magic


bits32 = st.one_of(
    st.sampled_from([0, 1, 2, 3, 8, 16, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, UNKNOWN]),
    st.integers(0, UNKNOWN),
)
bits16 = st.one_of(st.sampled_from([0, 1, 2, 3, 8, 0x7FFF, 0xFFFF]), st.integers(0, 0xFFFF))
tags = st.sampled_from([0, 1, 2, 3, 6, 7, 0x11, 0x31, 0x38, 0x40, 0x45, 0x55, 0xFFFE, 0xFFFF])
NAMES = (
    b"fmt ",
    b"data",
    b"LIST",
    b"JUNK",
    b"fact",
    b"ds64",
    b"cue ",
    b"bext",
    b"PEAK",
    b"\0\0\0\0",
)


@st.composite
def riffs(draw) -> bytes:
    """A RIFF file in which each field may be false on its own."""
    order = draw(st.sampled_from("<>"))
    head = struct.pack(
        order + "HHIIHH",
        draw(tags),
        draw(st.one_of(st.integers(0, 4), bits16)),
        draw(st.one_of(st.just(16_000), bits32)),
        draw(bits32),
        draw(bits16),
        draw(st.one_of(st.sampled_from([4, 8, 12, 16, 24, 32, 64]), bits16)),
    )
    extra = draw(st.one_of(st.just(b""), st.binary(max_size=50)))
    chunks = [chunk(b"fmt ", head + extra, draw(st.one_of(st.none(), bits32)), order)]
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=4)):
        body = draw(st.binary(max_size=80))
        chunks.append(chunk(name, body, draw(st.one_of(st.none(), bits32)), order))
    size = draw(st.one_of(st.none(), bits32))
    chunks.append(chunk(b"data", PCM[: draw(st.integers(0, 9000))], size, order))
    magic = draw(st.sampled_from([b"RIFF", b"RIFX", b"RF64"]))
    return riff(*chunks, magic=magic, size=draw(st.one_of(st.none(), bits32)))


@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=riffs())
def test_no_header_hangs_or_crashes_the_decoder(watchdog, data):
    answer = watchdog.decode(data)
    assert answer.split()[0] not in ("HANGS", "CRASHED", "BUG"), answer


def test_a_header_that_declares_too_much_is_refused_before_it_costs_memory():
    refused(riff(fmt(channels=65_535, bits=8), DATA), OutsideLimits, "65535 channels")
    with pytest.raises(AudioError):
        decode(riff(fmt(channels=65_535, bits=16), DATA), 16_000)
