"""Messages between a caller and a worker, over pipes: a JSON header, and bytes.

Two lengths of 8 bytes, little-endian, then the header, then the payload. Nothing is ever unpickled:
what a worker sends may have been written by whoever made the clip.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

_LENGTHS = struct.Struct("<QQ")
_MAX_HEADER = 1 << 20


class Broken(Exception):
    """The other side has ended, or sent what is no message."""


def send(pipe: BinaryIO, header: Mapping[str, Any], payload: bytes | memoryview = b"") -> None:
    """Write one message."""
    text = json.dumps(header).encode()
    pipe.write(_LENGTHS.pack(len(text), memoryview(payload).nbytes))
    pipe.write(text)
    pipe.write(payload)
    pipe.flush()


def receive(pipe: BinaryIO, most: int) -> tuple[dict[str, Any], bytes]:
    """Read one message, of at most ``most`` bytes of payload.

    Raises:
        Broken: there is none, or it is none.
    """
    text_bytes, payload_bytes = _LENGTHS.unpack(_exactly(pipe, _LENGTHS.size))
    if text_bytes > _MAX_HEADER or payload_bytes > most:
        raise Broken(f"a message of {text_bytes} and {payload_bytes} bytes")
    try:
        header = json.loads(_exactly(pipe, text_bytes))
    except ValueError as error:
        raise Broken(f"a header that is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise Broken("a header that is no object")
    return header, _exactly(pipe, payload_bytes)


def _exactly(pipe: BinaryIO, size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise Broken("the pipe has ended")
    return data
