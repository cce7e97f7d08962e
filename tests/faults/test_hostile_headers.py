"""Headers made to hang, crash or exhaust a decoder, which runs in another process here."""

from __future__ import annotations

import itertools
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.check import refused
from tests.faults.conftest import CLEAN
from tests.faults.make import UNKNOWN, chunk, ds64, encoded, fmt, id3, pcm16, rf64, riff
from voxedge.audio.load import decode
from voxedge.errors import AudioError, OutsideLimits, UnreadableAudio

PCM = pcm16(CLEAN)
DATA = chunk(b"data", PCM)
OPEN_DATA = chunk(b"data", PCM, UNKNOWN)
RANDOM = np.random.default_rng(11)


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
