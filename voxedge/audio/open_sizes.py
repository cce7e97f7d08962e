"""Sizes in headers that were written before the length was known, and never replaced.

Writers to a pipe cannot go back to fill in the length, and a recorder that loses power does not.
They leave 0 or one of the largest sizes, and the audio lasts to the end of the file. WAV is handled
by its own parser (``wav``); here are the other containers that libsndfile would take at their word.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

WARNING = "the header does not say how long the audio is: read to the end"

#: Sizes up to a page below these stand for "unknown", such as SoX's 0x7FFFF000.
_LARGEST = (0x80000000, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1)
_PAGE = 4096
_MAX_HEADER = 1 << 20  # bytes


def is_too_large(declared: int, available: int) -> bool:
    """Whether a size stands for "unknown": more than there is, and one of the largest."""
    return declared > available and any(top - _PAGE <= declared <= top for top in _LARGEST)


def true_header(file: BinaryIO, size: int, name: str) -> bytes:
    """The header of an AU or AIFF file with the size that its audio has; b"" if it had it already.

    Args:
        file: at any position.
        size: of it, in bytes.
        name: of its format.
    """
    file.seek(0)
    if name == "AU":
        return _of_au(file.read(24), size)
    return _of_aiff(file, size) if name == "AIFF" else b""


def _of_au(head: bytes, size: int) -> bytes:
    order = ">" if head[:1] == b"." else "<"
    start, declared = struct.unpack(order + "II", head[4:12])
    available = size - start
    if available <= 0 or (declared and not is_too_large(declared, available)):
        return b""
    return head[:8] + struct.pack(order + "I", available) + head[12:]


def _of_aiff(file: BinaryIO, size: int) -> bytes:
    """The header up to the samples; what else there is lies before them."""
    at = 12
    while at < min(size - 8, _MAX_HEADER):
        file.seek(at)
        chunk = file.read(8)
        name, declared = struct.unpack(">4sI", chunk)
        available = size - at - 8
        if name == b"SSND":
            if declared and not is_too_large(declared, available):
                break
            file.seek(0)
            head = file.read(at)
            form, ssnd = (struct.pack(">I", true) for true in (size - 8, available))
            return head[:4] + form + head[8:] + chunk[:4] + ssnd
        at += 8 + declared + (declared & 1)
    return b""
