"""The seal of a model file: a SHA-256 over the whole of it, kept in its own metadata.

A flipped bit in the weights changes answers without an error, so a file whose content does not
match its digest is refused.
"""

from __future__ import annotations

import hashlib
import re

from voxedge.model_file.metadata import DIGEST_BLANK, KEY, require
from voxedge.model_file.skeleton import skeleton


def digest(data: bytes, start: int, end: int, written: str) -> str:
    """SHA-256 of a whole file, the 64 characters of the digest itself taken as "0".

    Args:
        data: the file.
        start: where the metadata value begins in it.
        end: where that value ends.
        written: the digest that stands in the metadata.

    Raises:
        ModelError: the metadata holds no digest, or more than one.
    """
    require(re.fullmatch("[0-9a-f]{64}", written) is not None, "no digest")
    pattern = rb'"digest"\s*:\s*"' + written.encode() + b'"'
    places = list(re.finditer(pattern, data[start:end]))
    require(len(places) == 1, "a digest that cannot be located")
    at = start + places[0].end() - 65
    content = hashlib.sha256(memoryview(data)[:at])
    content.update(DIGEST_BLANK.encode())
    content.update(memoryview(data)[at + 64 :])
    return content.hexdigest()


def seal(data: bytes) -> bytes:
    """A serialised model whose metadata holds ``DIGEST_BLANK``, with its real digest put in."""
    entries = [e for e in skeleton(data).metadata if e[0] == KEY.encode()]
    _, start, end = entries[0]
    real = digest(data, start, end, DIGEST_BLANK).encode()
    at = data.index(b'"digest":"' + DIGEST_BLANK.encode(), start, end) + len(b'"digest":"')
    return data[:at] + real + data[at + 64 :]
