"""Checks of any input: a named error or the audio, within 10 s and 300 MB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pytest

from voxedge import Identifier
from voxedge.audio.limits import Limits
from voxedge.audio.load import Audio, Source, decode
from voxedge.errors import AudioError, ModelError

_SECONDS = 10.0  # of processor time: only a hang takes longer; speed is measured in bench
MEGABYTES = 300


def decoded(source: Source, strict: bool = False, limits: Limits | None = None) -> Audio:
    """``decode`` at 16 kHz, in time and with finite values only."""
    start = time.process_time()
    try:
        audio = decode(source, 16_000, limits, strict)
    finally:
        assert time.process_time() - start < _SECONDS
    assert audio.samples.dtype == np.float32
    assert np.isfinite(audio.samples).all()
    return audio


def refused(
    source: Source,
    error: type[AudioError],
    message: str | None = None,
    limits: Limits | None = None,
) -> None:
    """The source ends in exactly this error, whose exit code is 3."""
    with pytest.raises(AudioError, match=message) as caught:
        decoded(source, limits=limits)
    assert type(caught.value) is error
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


def model_refused(
    path: Path, message: str | None = None, error: type[ModelError] = ModelError
) -> str:
    """The model file is refused when it is opened, in time, by this error, with exit code 4."""
    start = time.process_time()
    with pytest.raises(ModelError, match=message) as caught:
        Identifier(path, threads=1)
    assert time.process_time() - start < 2 * _SECONDS
    assert type(caught.value) is error
    assert caught.value.exit_code == 4
    return str(caught.value)


def cut_off(data: bytes) -> Audio:
    """Audio that is cut off is decoded with a warning, and refused with ``strict``."""
    audio = decoded(data)
    assert audio.warnings, "cut off without a warning"
    with pytest.raises(AudioError) as caught:
        decoded(data, strict=True)
    assert caught.value.code == "truncated"
    return audio


def same(audio: Audio, expected: np.ndarray, tolerance: float = 0.0) -> None:
    """The audio is ``expected``, without a warning."""
    assert audio.warnings == ()
    assert audio.samples.shape == expected.shape
    np.testing.assert_allclose(audio.samples, expected, rtol=0, atol=tolerance)


_MEASURE = """
import json, sys, time
from voxedge import Identifier
from voxedge.audio.load import decode
from voxedge.errors import VoxedgeError
def peak():  # getrusage would count what the parent held before it became this process
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
for path in sys.argv[2:]:
    start = time.process_time()
    try:
        if sys.argv[1] == "model":
            result = ["ok", Identifier(path, threads=1).metadata.window_seconds, []]
        else:
            audio = decode(path, 16_000)
            result = ["ok", audio.seconds, list(audio.warnings)]
    except VoxedgeError as error:
        result = [error.code, 0.0, [str(error)]]
    print(json.dumps([*result, time.process_time() - start, peak()]))
"""


class Cost(NamedTuple):
    """What a file came to, in a process of its own."""

    code: str  # ``ok`` for audio or a model
    seconds: float  # of audio, or of the model's window
    warnings: list[str]
    spent: float  # seconds of processor time
    peak: float  # megabytes of the whole process so far


def measured(*paths: Path, kind: Literal["clip", "model"] = "clip") -> list[Cost]:
    """Clips decoded, or model files opened, in a fresh process, one after the other."""
    command = [sys.executable, "-c", _MEASURE, kind, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return [Cost(*json.loads(line)) for line in done.stdout.splitlines()]


def voxedge(
    *arguments: str | bytes | Path, cwd: Path, model: Path, command: str = "identify", **options
) -> subprocess.CompletedProcess[bytes]:
    """``voxedge identify``, or another command, as a user runs it; bytes in and out.

    The clips are noise, for which ``identify`` needs to be told that any sound may be named.
    """
    environment = os.environ | {"NO_COLOR": "1", "VOXEDGE_MODEL": str(model)}
    flags = ["--any-sound"] if command == "identify" else []
    line = [sys.executable, "-m", "voxedge", command, *flags, *arguments]
    return subprocess.run(
        line, cwd=cwd, capture_output=True, env=environment, timeout=60, **options
    )


def records(done: subprocess.CompletedProcess[bytes]) -> list[dict]:
    """The NDJSON on stdout: each line is whole, ASCII, and an object; no traceback on stderr."""
    assert b"Traceback" not in done.stderr
    assert b"internal error" not in done.stderr
    assert done.stdout == b"" or done.stdout.endswith(b"\n")
    return [json.loads(line.decode("ascii")) for line in done.stdout.splitlines()]
