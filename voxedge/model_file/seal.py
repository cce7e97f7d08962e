"""The seal of a model file: a SHA-256 digest of the whole file, kept in the file's own metadata.

A flipped bit in the weights changes answers without an error. So a file whose content does not
match its digest is refused.
"""

from __future__ import annotations

import hashlib
import re

from voxedge.model_file.metadata import DIGEST_BLANK, KEY, require
from voxedge.model_file.skeleton import skeleton

_DIGITS = len(DIGEST_BLANK)


def digest(data: bytes, start: int, end: int, written: str) -> str:
    """SHA-256 of a whole file in which the digest's own 64 characters are taken to be "0".

    Args:
        data: the file.
        start: offset of the metadata's JSON.
        end: offset behind it.
        written: the digest in that JSON.

    Raises:
        ModelError: the JSON holds no digest, or more than one.
    """
    require(re.fullmatch(f"[0-9a-f]{{{_DIGITS}}}", written) is not None, "no digest")
    pattern = rb'"digest"\s*:\s*"' + written.encode() + b'"'
    places = list(re.finditer(pattern, data[start:end]))
    require(len(places) == 1, "a digest that cannot be located")
    at = start + places[0].end() - 1 - _DIGITS
    content = hashlib.sha256(memoryview(data)[:at])
    content.update(DIGEST_BLANK.encode())
    content.update(memoryview(data)[at + _DIGITS :])
    return content.hexdigest()


def seal(data: bytes) -> bytes:
    """Replace the ``DIGEST_BLANK`` in the metadata of a serialised model by the digest."""
    _, start, end = next(entry for entry in skeleton(data).metadata if entry[0] == KEY.encode())
    before = b'"digest":"'
    at = data.index(before + DIGEST_BLANK.encode(), start, end) + len(before)
    real = digest(data, start, end, DIGEST_BLANK).encode()
    return data[:at] + real + data[at + _DIGITS :]
