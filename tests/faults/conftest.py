"""Fixtures of the fault tests: model files made without training, and a watchdog."""

from __future__ import annotations

import os
import select
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import onnx_ir as ir
import pytest
from voxedge.export.passes import PASSES
from voxedge.export.trace import trace

from tests.faults import make
from voxedge.inference.identifier import Identifier
from voxedge.model_file.metadata import KEY
from voxedge.model_file.seal import seal
from voxedge.nn.speaker_net import ExportedNet
from voxedge.train.build import build_net
from voxedge.train.recipe import Recipe

CLEAN = make.sound()

_DECODER = """
import os, struct, sys
from voxedge.audio.load import decode
from voxedge.errors import AudioError
answers = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # what a decoder prints must not look like an answer
os.chdir(sys.argv[1])
while head := sys.stdin.buffer.read(4):
    data = sys.stdin.buffer.read(struct.unpack("<I", head)[0])
    try:
        answer = f"ok {len(decode(data, 16_000).samples)}"
    except AudioError as error:
        answer = error.code
    except BaseException as error:
        answer = f"BUG {type(error).__name__}: {error}"
    answers.write(struct.pack("<I", len(answer.encode())) + answer.encode())
    answers.flush()
"""


class Watchdog:
    """Decodes in another process, where a hang or a crash of the decoder does no harm."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None

    def decode(self, data: bytes, seconds: float = 5.0) -> str:
        """``ok`` and the number of samples, an error's code, ``BUG``, ``CRASHED`` or ``HANGS``."""
        child = self._child or self._started()
        assert child.stdin is not None
        child.stdin.write(struct.pack("<I", len(data)) + data)
        child.stdin.flush()
        return self._answer(seconds)

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", _DECODER, str(self._folder)]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.decode(make.wav(CLEAN), 60.0) == f"ok {len(CLEAN)}"
        return self._child

    def _answer(self, seconds: float) -> str:
        assert self._child is not None
        assert self._child.stdout is not None
        if not select.select([self._child.stdout], [], [], seconds)[0]:
            self.close()
            return "HANGS"
        head = self._child.stdout.read(4)
        if len(head) < 4:
            self.close()
            return "CRASHED"
        return self._child.stdout.read(struct.unpack("<I", head)[0]).decode()


@pytest.fixture(scope="session")
def watchdog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watchdog]:
    folder = tmp_path_factory.mktemp("watchdog")
    os.mkfifo(folder / "._")  # a decoder that opens this "resource fork" hangs
    dog = Watchdog(folder)
    yield dog
    dog.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test writes the model file that it breaks."""
    return tmp_path / "model.onnx"


@pytest.fixture(scope="session")
def traced_model() -> ir.Model:
    """The graph that an export writes, of an untrained network."""
    values = {"frontend.image_size": 32, "frontend.window_seconds": 1.0, "model.width": 0.25}
    net = build_net(Recipe().with_values(values), len(make.LABELS))
    model = trace(ExportedNet(net, 1.0))
    for apply in PASSES:
        apply(model)
    model.ir_version = 10
    model.metadata_props[KEY] = make.metadata(embedding_dim=net.head.in_features).to_json()
    return model


@pytest.fixture(scope="session")
def traced_file(traced_model, tmp_path_factory) -> Path:
    """A model file like a user's: a whole ResNet with its front end."""
    path = tmp_path_factory.mktemp("traced") / "model.onnx"
    path.write_bytes(seal(ir.to_proto(traced_model).SerializeToString()))
    return path


@pytest.fixture(scope="session")
def small_file(tmp_path_factory) -> Path:
    """A minimal model file: the same interface, a dozen operators."""
    path = tmp_path_factory.mktemp("small") / "small.onnx"
    path.write_bytes(make.small_model())
    return path


@pytest.fixture(scope="session")
def identifier(traced_file) -> Identifier:
    return Identifier(traced_file, threads=1, any_sound=True)
