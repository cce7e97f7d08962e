"""Recognise streams of bare frames, MP3, AAC and AC-3, by a chain of frame headers.

Such a stream has no signature. Two bytes that look like a frame's start occur by chance in one of
250 files of raw samples, so the next frames have to be where the first one says. Layout of the
headers: ISO/IEC 11172-3 and 13818-3 (MPEG audio), ISO/IEC 13818-7 (ADTS), ETSI TS 102 366 (AC-3).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

SEARCHED = 1 << 16  # bytes of a file's start that are enough to decide
_FRAMES = 3  # that follow the first one
_HEADER = 7  # bytes, of the longest header


class FrameHeader(NamedTuple):
    """What a frame header says."""

    size: int  # of the whole frame, in bytes
    kind: tuple[int, ...]  # the same for all frames of a stream


Parser: TypeAlias = Callable[[bytes], FrameHeader | None]  # of ``_HEADER`` bytes

_MPEG_RATES = (44_100, 48_000, 32_000)  # of version 1; others halve or quarter them
_MPEG_KBITS = {  # by (is version 1, layer); index 0 is a free format, 15 is not allowed
    (True, 1): range(0, 480, 32),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_AC3_SYNC = b"\x0b\x77"
_AC3_KBITS = (
    32,
    40,
    48,
    56,
    64,
    80,
    96,
    112,
    128,
    160,
    192,
    224,
    256,
    320,
    384,
    448,
    512,
    576,
    640,
)


def mpeg(head: bytes) -> FrameHeader | None:
    """The header of an MPEG audio frame (MP1, MP2, MP3), or None."""
    if head[0] != 0xFF or head[1] < 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)  # version: 3 is 1, 2 is 2, 0 is 2.5
    bitrate, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    bits = 1000 * _MPEG_KBITS[version == 3, layer][bitrate]
    hertz = _MPEG_RATES[rate] >> (0 if version == 3 else 1 if version == 2 else 2)
    if layer == 1:
        size = 4 * (12 * bits // hertz + padding)
    else:
        size = (72 if layer == 3 and version != 3 else 144) * bits // hertz + padding
    return FrameHeader(size, (version, layer, rate))


def adts(head: bytes) -> FrameHeader | None:
    """The header of an AAC frame (ADTS), or None."""
    if head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    rate, size = head[2] >> 2 & 15, (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return FrameHeader(size, (head[2] >> 6, rate)) if rate < 13 and size > _HEADER else None


def ac3(head: bytes) -> FrameHeader | None:
    """The header of an AC-3 frame, or None."""
    rate, code, version = head[4] >> 6, head[4] & 63, head[5] >> 3
    if head[:2] != _AC3_SYNC or version > 10 or rate == 3 or code >> 1 >= len(_AC3_KBITS):
        return None
    kbits = _AC3_KBITS[code >> 1]
    words = (2 * kbits, 320 * kbits // 147 + (code & 1), 3 * kbits)[rate]
    return FrameHeader(2 * words, (rate,))


def eac3(head: bytes) -> FrameHeader | None:
    """The header of an E-AC-3 frame, or None."""
    if head[:2] != _AC3_SYNC or not 10 < head[5] >> 3 <= 16:
        return None
    return FrameHeader(2 * ((head[2] & 7) << 8 | head[3]) + 2, ())


def begins_with_frames(data: bytes, parse: Parser) -> bool:
    """Whether a stream of frames begins with these bytes.

    A damaged frame among the first ones does not matter: the chain may also be found later.

    Args:
        data: up to ``SEARCHED`` bytes of a file; less only where the file ends.
        parse: reads a header of the stream's kind.
    """
    first = _header(data, 0, parse)
    if first is None:
        return False
    if _chained(data, 0, parse, first, may_end=True):
        return True
    starts = (found.start() for found in re.finditer(re.escape(data[:1]), data[1:]))
    return any(_chained(data, 1 + start, parse, first, may_end=False) for start in starts)


def _chained(data: bytes, at: int, parse: Parser, first: FrameHeader, may_end: bool) -> bool:
    """Whether frames of the same kind as ``first`` follow each other from offset ``at`` on."""
    for _ in range(1 + _FRAMES):
        header = _header(data, at, parse)
        if header is None:
            return may_end and at + _HEADER > len(data)
        if header.kind != first.kind:
            return False
        at += header.size
    return True


def _header(data: bytes, at: int, parse: Parser) -> FrameHeader | None:
    head = data[at : at + _HEADER]
    return parse(head) if len(head) == _HEADER else None
