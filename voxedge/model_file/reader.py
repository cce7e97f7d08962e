"""Opens a model file safely, or refuses it with one clear reason, before ONNX Runtime sees it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from voxedge.errors import ModelError, ModelNotFound
from voxedge.model_file.metadata import KEY, Metadata, require
from voxedge.model_file.seal import digest
from voxedge.model_file.skeleton import WireError, skeleton

_MAX_FILE = 1 << 30
_MAX_METADATA = 16 << 20
_MAX_OPSET, _MAX_IR = 20, 10
_CONTROL_FLOW = {"Loop", "Scan", "If", "SequenceMap"}
_DOMAINS = {"", "ai.onnx"}  # com.microsoft has loops and operators that open files
_Stamp: TypeAlias = tuple[int, int, int, int]  # which file, and in which state


@dataclass(frozen=True)
class ModelFile:
    """A model file that has been read, verified, and may be given to a runtime."""

    path: Path
    size: int  # bytes
    metadata: Metadata
    opset: int
    ir_version: int
    _stamp: _Stamp = field(repr=False)

    def require_unchanged(self) -> None:
        """Refuse a file that is no longer the one that was read.

        For whoever opened it by its path since: holding its bytes would take them twice, and a
        third of the time again.

        Raises:
            ModelError: it was replaced or written to.
        """
        now: _Stamp | None = None
        with suppress(OSError):
            now = _state(self.path.stat())
        if now != self._stamp:
            raise ModelError(f"{self.path.name} was changed while it was opened", "try again")


def read_model(path: str | Path) -> ModelFile:
    """Read a model file, trusting nothing in it.

    Raises:
        ModelNotFound: there is no such file.
        ModelError: it is not a voxedge model, is damaged, or holds what could harm.
    """
    path = Path(path)
    data, stamp = _content(path)
    try:
        found = skeleton(data)
    except WireError as error:
        raise ModelError(f"{path.name} is not an ONNX file, or is damaged: {error}") from None
    entries = [(start, end) for key, start, end in found.metadata if key == KEY.encode()]
    if not entries:
        raise ModelError(
            f"{path.name} is not a voxedge model: it has no '{KEY}' metadata",
            "make one with: voxedge export model.onnx",
        )
    require(
        len({key for key, _, _ in found.metadata}) == len(found.metadata), "a metadata key twice"
    )
    (start, end) = entries[0]
    require(end - start <= _MAX_METADATA, f"{end - start} bytes of metadata")
    metadata = Metadata.from_json(data[start:end])
    if digest(data, start, end, metadata.digest) != metadata.digest:
        raise ModelError(
            f"{path.name} is damaged: its content does not match its digest", "copy it again"
        )
    require(not found.external_data, "tensors outside the file")
    require(not found.operators & _CONTROL_FLOW, "control flow operators")
    require(set(found.opsets) <= _DOMAINS, f"operators of {sorted(set(found.opsets) - _DOMAINS)}")
    opset = found.opsets.get("", 0) or found.opsets.get("ai.onnx", 0)
    require(0 < opset <= _MAX_OPSET, f"opset {opset}; up to {_MAX_OPSET} is read")
    require(found.ir_version <= _MAX_IR, f"IR version {found.ir_version}")
    return ModelFile(path, len(data), metadata, opset, found.ir_version, stamp)


def _content(path: Path) -> tuple[bytes, _Stamp]:
    try:
        if not path.is_file():
            if path.exists():
                raise ModelError(f"{path} is not a regular file")
            raise ModelNotFound(
                f"there is no model file {path}",
                "name one by --model or $VOXEDGE_MODEL, or make one: voxedge export model.onnx",
            )
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            require(found.st_size <= _MAX_FILE, f"{found.st_size} bytes")
            return file.read(), _state(found)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{path} cannot be read: {reason}") from None


def _state(found: os.stat_result) -> _Stamp:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
