"""Find out whether a container that FFmpeg reads is cut off, by the sizes that it declares.

FFmpeg takes the end of such a file for the end of the audio. Layouts: ISO/IEC 14496-12 (MP4),
RFC 8794 and 9559 (Matroska), RFC 3533 (Ogg), Microsoft's "Advanced Systems Format" (WMA), RIFF.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

_MP4_BOXES = (b"moov", b"mdat", b"moof")
_MAX_BOXES = 65_536
_SEGMENT = b"\x18\x53\x80\x67"  # of Matroska
_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # of ASF
_LARGEST_OGG_PAGE = 65_307
_END_OF_STREAM = 4  # flag of an Ogg page


def missing(file: BinaryIO, size: int, demuxer: str) -> str:
    """What a file of so many bytes lacks; "" where nothing is known to be missing.

    Args:
        file: at any position.
        size: of it.
        demuxer: FFmpeg's name of the container.
    """
    if demuxer == "ogg":
        return "the last page does not end the stream" if _ogg_goes_on(file, size) else ""
    end = _declared_end(file, size, demuxer)
    return f"{end} bytes declared, {size} exist" if end > size else ""


def _declared_end(file: BinaryIO, size: int, demuxer: str) -> int:
    """Bytes that a whole file has at least; 0 where its container does not say."""
    if demuxer == "mov":
        return _end_of_mp4(file, size)
    file.seek(0)
    head = file.read(4096)
    if demuxer == "matroska":
        return _end_of_matroska(head)
    if demuxer == "avi":
        return 8 + int.from_bytes(head[4:8], "little")
    if demuxer == "asf" and (at := head.find(_FILE_PROPERTIES)) >= 0:
        return int.from_bytes(head[at + 40 : at + 48], "little")
    return 0


def _ogg_goes_on(file: BinaryIO, size: int) -> bool:
    file.seek(max(0, size - _LARGEST_OGG_PAGE))
    tail = file.read(_LARGEST_OGG_PAGE)
    at = tail.rfind(b"OggS\0")
    if at < 0 or at + 27 > len(tail):
        return True
    count, flags = tail[at + 26], tail[at + 5]
    segments = tail[at + 27 : at + 27 + count]
    end = at + 27 + count + sum(segments)
    return end > len(tail) or not flags & _END_OF_STREAM


def _end_of_mp4(file: BinaryIO, size: int) -> int:
    """The end of the last box that is known."""
    at = end = 0
    for _ in range(_MAX_BOXES):
        if at >= size:
            break
        file.seek(at)
        length, kind, large = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        length = large if length == 1 else length
        if length < 8:  # 0: to the end of the file
            break
        at += length
        if kind in _MP4_BOXES:
            end = at
    return end


def _end_of_matroska(head: bytes) -> int:
    """The end of the segment; 0 where its size was unknown to a live recorder."""
    at = head.find(_SEGMENT) + len(_SEGMENT)
    if at < len(_SEGMENT) or not head[at : at + 1].strip(b"\0"):
        return 0
    length = 9 - head[at].bit_length()  # of the size: one byte more than its leading zero bits
    unknown = (1 << 7 * length) - 1
    size = int.from_bytes(head[at : at + length], "big") & unknown
    return 0 if size == unknown else at + length + size
