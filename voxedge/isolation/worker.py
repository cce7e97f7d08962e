"""The process that decodes: ``python -m voxedge.isolation.worker MEMORY``.

It answers one request after the other on its standard streams until they end. A request is the
bytes of a file, or a path; the answer is its samples, in one block or in many.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from voxedge.audio import load
from voxedge.audio.limits import MAX_BYTES, Limits, Samples
from voxedge.audio.raw import RawFormat
from voxedge.errors import VoxedgeError
from voxedge.isolation.confine import confine
from voxedge.isolation.messages import Broken, receive, send
from voxedge.speech.clip import find_speech


def main() -> None:
    """Give up what is not needed, then answer requests."""
    with contextlib.suppress(ImportError):  # the limit on memory is for clips, not for libraries
        importlib.import_module("voxedge.audio.libsndfile")
        importlib.import_module("voxedge.audio.pyav")
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a decoder prints must not come between the answers
    given_up = confine(int(sys.argv[1]))
    send(answers, {"ready": given_up})
    while True:
        try:
            header, payload = receive(requests, MAX_BYTES)
        except Broken:
            return
        try:
            _answer(header, payload, answers)
        except VoxedgeError as error:
            about = {"code": error.code, "message": error.message, "hint": error.hint}
            send(answers, {"error": about})


def _answer(header: Mapping[str, Any], payload: bytes, answers: BinaryIO) -> None:
    source = header["path"] if header["path"] is not None else payload
    raw = None if header["raw"] is None else RawFormat.parse(header["raw"])
    limits = Limits(**header["limits"])
    rate = header["rate"]
    with load.stream(source, rate, limits, header["strict"], raw) as blocks:
        end: dict[str, Any] = {}
        samples = np.zeros(0, np.float32)
        if header["whole"]:
            samples = blocks.read()
            if header["speech"]:
                found = find_speech(samples, rate)
                end["speech"] = [[each.start, each.end] for each in found.segments]
        else:
            for block in blocks:
                about = {"seconds": blocks.seconds, "expected": blocks.expected_seconds}
                send(answers, about, _bytes(block))
        end |= {
            "seconds": blocks.seconds,
            "expected": blocks.expected_seconds,
            "rate": blocks.rate,
            "channels": blocks.channels,
            "warnings": blocks.warnings,
        }
        send(answers, {"end": end}, _bytes(samples))


def _bytes(samples: Samples) -> memoryview:
    return memoryview(np.ascontiguousarray(samples, "<f4").data).cast("B")


if __name__ == "__main__":
    main()
