"""Recognise an audio format by the first bytes of a file, and a second file behind the first.

libsndfile and FFmpeg would guess: their old readers accept almost any bytes, one of libsndfile's
prints to stdout, and FFmpeg's playlists open other files. So only the formats listed here are
opened, each with its own reader.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO

HEAD = 80  # bytes that are enough for any signature
_BLOCK = 1 << 20  # bytes that are searched at a time


@dataclass(frozen=True)
class Format:
    """A container that its first bytes identify."""

    name: str  # for people
    signature: re.Pattern[bytes]
    libsndfile: bool  # decodes it, at least with the usual codecs
    demuxer: str  # FFmpeg's name of it; "" where libsndfile decodes all of them
    again: re.Pattern[bytes] | None  # where a second file begins; None if that cannot be known


def _format(
    name: str,
    signature: bytes,
    demuxer: str = "",
    *,
    libsndfile: bool = False,
    again: bytes | None = b"",
) -> Format:
    compiled = re.compile(signature, re.DOTALL)
    second = re.compile(again, re.DOTALL) if again else compiled
    return Format(name, compiled, libsndfile, demuxer, None if again is None else second)


_AU = rb"\.snd\0\0.{6}\0\0\0[\x01-\x1b]|dns\...\0\0.{4}[\x01-\x1b]\0\0\0"
_W64 = rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0"
_ASF = rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c"
_EBML = rb"\x1a\x45\xdf\xa3"

#: All but WAV and the streams of bare frames. Signatures are too long to occur by chance.
FORMATS = (
    _format("FLAC", rb"fLaC[\0\x80]\0\0\x22", libsndfile=True),
    _format("Ogg", rb"OggS\0[\x02\x06]", "ogg", libsndfile=True),
    _format("AIFF", rb"FORM....AIF[FC]", "aiff", libsndfile=True),
    _format("AU", _AU, "au", libsndfile=True),
    _format("CAF", rb"caff\0[\x01\x02]..desc", "caf", libsndfile=True),
    _format("W64", _W64, "w64", libsndfile=True),
    _format("VOC", rb"Creative Voice File\x1a", libsndfile=True),
    _format("SPHERE", rb"NIST_1A\n", libsndfile=True),
    _format("MP4/M4A", rb"....(?:ftyp|moov|mdat|wide)", "mov", again=rb"\0\0..ftyp"),
    _format(
        "WebM/Matroska",
        rb"\x1aE\xdf\xa3",
        "matroska",
        again=rb"\x1aE\xdf\xa3.{1,60}(?:webm|matroska)",
    ),
    _format("AMR", rb"#!AMR(?:-WB)?\n", "amr"),
    _format("WMA", _ASF, "asf"),
    _format("AVI", rb"RIFF....AVI ", "avi"),
    _format("WavPack", rb"wvpk", "wv", again=None),  # each of its blocks begins like that
    _format("True Audio", rb"TTA1[\x01\x02]\0", "tta"),
)
_OGG_DATA = re.compile(rb"OggS\0[\0\x01\x04\x05]")  # not the first page of a stream
#: An MP3 that states its length, and where a second one begins: a tag, or such a frame again.
_MP3_LENGTH = rb"\xff[\xe2-\xff]..{1,38}?(?:Xing|Info)\0\0\0[\0-\x0f]"
_ID3 = rb"ID3[\x02-\x04][\0-\x04][\0\x10\x20\x40\x80][\0-\x7f]{4}[A-Z0-9]{3}"
_MP3_KNOWN = re.compile(_MP3_LENGTH, re.DOTALL)
_MP3_AGAIN = re.compile(_MP3_LENGTH + b"|" + _ID3, re.DOTALL)


def recognise(head: bytes) -> Format | None:
    """The format of a file that begins with ``head``, of ``HEAD`` bytes; None for all others."""
    return next((each for each in FORMATS if each.signature.match(head)), None)


def find(signature: re.Pattern[bytes], file: BinaryIO, start: int, stop: int) -> int | None:
    """The first offset from ``start`` on, and before ``stop``, at which a signature is found."""
    position = start
    while position < stop:
        file.seek(position)
        block = file.read(min(_BLOCK, stop - position) + HEAD)
        found = signature.search(block)
        if found and position + found.start() < stop:
            return position + found.start()
        position += _BLOCK
    return None


def find_another(known: Format, file: BinaryIO, size: int) -> int | None:
    """The offset of a second file of a format behind the first, as ``cat`` joins them."""
    if known.again is None:
        return None
    start: int | None = 1
    if known.name == "Ogg":  # several streams may begin together
        start = find(_OGG_DATA, file, 0, size)
    return None if start is None else find(known.again, file, start, size)


def find_another_mp3(file: BinaryIO, size: int) -> int | None:
    """The offset of a second MP3, which is not decoded if the first one states its length."""
    file.seek(0)
    return find(_MP3_AGAIN, file, 4, size) if _MP3_KNOWN.match(file.read(HEAD)) else None


def another_file(name: str, unused: int) -> str:
    """The warning about two files in one, such as those of ``cat a.wav b.wav``."""
    return f"another {name} file follows: its {unused} bytes are not used"
