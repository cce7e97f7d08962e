"""Compressed audio: cut, flipped, far too long, or of a kind that is not decoded."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.faults.check import MEGABYTES, cut_off, decoded, measured, refused, same
from tests.faults.conftest import CLEAN
from tests.faults.make import encoded, forged_flac, id3, silent_flac, sound
from voxedge import Identifier
from voxedge.audio import formats
from voxedge.audio.limits import Limits
from voxedge.audio.load import decode
from voxedge.errors import AudioError, OutsideLimits, TruncatedAudio, UnreadableAudio

LONG = sound(8.0)
KINDS = {
    "MP3": ("MP3", None),
    "Vorbis": ("OGG", "VORBIS"),
    "Opus": ("OGG", "OPUS"),
    "FLAC": ("FLAC", None),
    "ALAC": ("CAF", "ALAC_16"),
}
FILES = {name: encoded(LONG, *kind) for name, kind in KINDS.items()}


@pytest.mark.parametrize("name", FILES)
def test_a_whole_file_decodes_without_a_warning(name):
    audio = decoded(FILES[name])
    assert audio.warnings == ()
    assert len(audio.samples) == len(LONG)
    correlation = np.corrcoef(audio.samples, LONG)[0, 1]
    assert correlation > (0.999999 if name in ("FLAC", "ALAC") else 0.9)


@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("name", ["MP3", "Vorbis", "Opus", "FLAC"])
def test_a_truncated_file_is_decoded_with_a_warning(name, part):
    """What is left decodes to the beginning of the clip; ``strict`` refuses it."""
    data = FILES[name]
    audio = cut_off(data[: round(part * len(data))])
    whole = decode(data, 16_000).samples
    assert 0.5 * part * len(whole) < len(audio.samples) < len(whole)
    same_part = whole[: len(audio.samples)]
    assert np.corrcoef(audio.samples, same_part)[0, 1] > 0.99


@pytest.mark.parametrize("name", ["MP3", "Vorbis", "Opus", "FLAC"])
def test_a_header_alone_or_a_file_without_one_is_a_named_error(name):
    data = FILES[name]
    for length in (4, 12, 40, 100, 300):
        with pytest.raises(AudioError):
            decoded(data[:length])
    refused(data[3_001:], UnreadableAudio)


def test_a_vorbis_file_that_decodes_to_nothing_is_cut_off():
    data = encoded(CLEAN, "OGG", "VORBIS")
    refused(data[: len(data) // 2], TruncatedAudio)


def test_a_flac_that_ends_early_keeps_what_was_decoded():
    data = encoded(CLEAN, "FLAC")
    audio = cut_off(data[: len(data) * 9 // 10])
    assert len(audio.samples) >= 12_000
    assert np.array_equal(audio.samples, CLEAN[: len(audio.samples)])


@pytest.mark.parametrize("name", FILES)
def test_flipped_bits_never_hang_or_crash_the_decoder(name, watchdog):
    data = FILES[name]
    draw = random.Random(name)
    for number in range(40):
        broken = bytearray(data)
        for _ in range(1 + number % 8):
            at = draw.randrange(200 if number % 2 else len(data))
            broken[at] ^= 1 << draw.randrange(8)
        answer = watchdog.decode(bytes(broken))
        assert answer.split()[0] not in ("HANGS", "CRASHED", "BUG"), answer


def test_a_flac_that_was_written_to_a_pipe_needs_no_length():
    same(decoded(forged_flac(CLEAN, 0)), CLEAN)
    limited = decoded(forged_flac(LONG, 0), limits=Limits(max_seconds=2))
    assert len(limited.samples) == 32_000
    assert "longer than 2 s" in limited.warnings[0]
    with pytest.raises(OutsideLimits):
        decode(forged_flac(LONG, 0), 16_000, Limits(max_seconds=2), strict=True)


@pytest.mark.parametrize("frames", [20_000, 2**36 - 1])
def test_a_flac_that_declares_too_much_decodes_what_is_there(frames):
    audio = decoded(forged_flac(CLEAN, frames))
    assert np.array_equal(audio.samples, CLEAN)
    assert "cut off" in audio.warnings[0]
    with pytest.raises((TruncatedAudio, OutsideLimits)):
        decode(forged_flac(CLEAN, frames), 16_000, strict=True)


def test_a_flac_that_declares_too_little_decodes_what_is_declared():
    assert np.array_equal(decoded(forged_flac(CLEAN, 9_000)).samples, CLEAN[:9_000])


def test_the_limit_of_length_is_a_warning_and_with_strict_an_error():
    data = encoded(LONG, "FLAC")
    audio = decoded(data, limits=Limits(max_seconds=1.5))
    assert (audio.seconds, len(audio.samples)) == (1.5, 24_000)
    assert audio.warnings == ("longer than 1.5 s: the rest is left out",)
    with pytest.raises(OutsideLimits):
        decode(data, 16_000, Limits(max_seconds=1.5), strict=True)


def test_the_limit_of_size_is_checked_first(tmp_path):
    path = tmp_path / "huge.wav"
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)  # a hole: nothing is written
    refused(path, OutsideLimits, "bytes")


def test_bombs_stop_at_the_cap_within_their_memory(tmp_path, small_file):
    """Ten hours in a megabyte, and a header that claims fifty days."""
    bomb, forged = tmp_path / "bomb.flac", tmp_path / "forged.flac"
    bomb.write_bytes(silent_flac(36_000, 4_000))
    forged.write_bytes(forged_flac(CLEAN, 2**36 - 1))
    assert bomb.stat().st_size < 2 << 20
    claimed, stopped = measured(forged, bomb)
    assert (claimed.code, claimed.seconds) == ("ok", 1.0)
    assert "cut off" in claimed.warnings[0]
    assert claimed.peak < MEGABYTES
    assert (stopped.code, stopped.seconds) == ("ok", 3600.0)
    assert "the rest is left out" in stopped.warnings[0]
    assert stopped.spent < 30
    assert stopped.peak < MEGABYTES
    answer = Identifier(small_file, limits=Limits(max_seconds=60)).identify(bomb)
    assert (answer.seconds, answer.speaker, answer.reason) == (60.0, None, "no_speech")


OTHERS = {
    "MP4/M4A": b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom" + bytes(4000),
    "WebM/Matroska": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01" + bytes(4000),
    "WMA": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(4000),
    "AVI": b"RIFF\0\0\0\0AVI LIST" + bytes(4000),
    "True Audio": b"TTA1\x01\0" + bytes(4000),
}


@pytest.mark.parametrize("has_av", [False, True], ids=["without PyAV", "with PyAV"])
@pytest.mark.parametrize(("name", "data"), OTHERS.items(), ids=OTHERS)
def test_what_only_begins_like_an_m4a_or_webm_is_refused_by_name(
    name, data, has_av, tmp_path, monkeypatch
):
    if has_av:
        pytest.importorskip("av", reason="PyAV is not installed: pip install -e '.[av]'")
    monkeypatch.setattr(formats, "has_av", lambda: has_av)
    for path in (tmp_path / "clip.wav", tmp_path / "clip.m4a"):
        path.write_bytes(data)
        refused(path, UnreadableAudio, name if has_av else rf"{name} .*\[av\].*ffmpeg")


def test_an_mp3_cut_within_its_tag_is_refused():
    refused((id3(5_000) + FILES["MP3"])[:3_000], UnreadableAudio)
