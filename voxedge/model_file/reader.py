"""Open a model file, or refuse it for one clear reason, before ONNX Runtime sees it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from voxedge.base import model_path
from voxedge.errors import ModelError, ModelNotFound
from voxedge.model_file.metadata import KEY, Metadata, require
from voxedge.model_file.seal import digest
from voxedge.model_file.skeleton import Skeleton, WireError, skeleton

_MAX_FILE = 1 << 30  # bytes
_MAX_METADATA = 16 << 20  # bytes
MAX_OPSET, _MAX_IR = 20, 10
_CONTROL_FLOW = {"Loop", "Scan", "If", "SequenceMap"}
_DOMAINS = {"", "ai.onnx"}  # com.microsoft has loops, and operators that open files
_FileState: TypeAlias = tuple[int, int, int, int]  # device, inode, size, time of last change


@dataclass(frozen=True)
class ModelFile:
    """A model file that was read and verified, and may be given to ONNX Runtime."""

    path: Path
    size: int  # bytes
    metadata: Metadata
    opset: int
    ir_version: int
    _state: _FileState = field(repr=False)

    def require_unchanged(self) -> None:
        """Refuse the file if it is no longer the one that was read.

        To be called after the path has been opened again. Handing the bytes over instead would
        hold them twice, and take a third longer.

        Raises:
            ModelError: the file was replaced, written to or deleted.
        """
        now: _FileState | None = None
        with suppress(OSError):
            now = _file_state(self.path.stat())
        if now != self._state:
            raise ModelError(f"{self.path.name} was changed while it was opened", "try again")


def read_model(path: str | Path) -> ModelFile:
    """Read and verify a model file, none of whose content is trusted.

    Raises:
        ModelNotFound: there is no such file.
        ModelError: it is not a voxedge model, or is damaged or unsafe.
    """
    path = model_path(path)
    data, state = _read_file(path)
    try:
        found = skeleton(data)
    except WireError as error:
        raise ModelError(f"{path.name} is not an ONNX file, or is damaged: {error}") from None
    start, end = _locate_metadata(found, path)
    metadata = Metadata.from_json(data[start:end])
    if digest(data, start, end, metadata.digest) != metadata.digest:
        raise ModelError(
            f"{path.name} is damaged: its content does not match its digest", "copy it again"
        )
    return ModelFile(path, len(data), metadata, _safe_opset(found), found.ir_version, state)


def _read_file(path: Path) -> tuple[bytes, _FileState]:
    try:
        if not path.is_file():
            if path.exists():
                raise ModelError(f"{path} is not a regular file")
            raise ModelNotFound(
                f"there is no model file {path}",
                "name one by --model or $VOXEDGE_MODEL, or make one: voxedge export model.onnx",
            )
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            require(status.st_size <= _MAX_FILE, f"{status.st_size} bytes")
            return file.read(), _file_state(status)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{path} cannot be read: {reason}") from None


def _file_state(status: os.stat_result) -> _FileState:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _locate_metadata(found: Skeleton, path: Path) -> tuple[int, int]:
    """Offsets of voxedge's metadata in the file."""
    places = {key: (start, end) for key, start, end in found.metadata}
    if KEY.encode() not in places:
        raise ModelError(
            f"{path.name} is not a voxedge model: it has no '{KEY}' metadata",
            "make one with: voxedge export model.onnx",
        )
    require(len(places) == len(found.metadata), "a metadata key twice")
    start, end = places[KEY.encode()]
    require(end - start <= _MAX_METADATA, f"{end - start} bytes of metadata")
    return start, end


def _safe_opset(found: Skeleton) -> int:
    """The version of the graph's operators, all of which are safe to run."""
    require(not found.external_data, "tensors outside the file")
    require(not found.operators & _CONTROL_FLOW, "control flow operators")
    unknown = sorted(set(found.opsets) - _DOMAINS)
    require(not unknown, f"operators of {unknown}")
    opset = found.opsets.get("", 0) or found.opsets.get("ai.onnx", 0)
    require(0 < opset <= MAX_OPSET, f"opset {opset}; up to {MAX_OPSET} is read")
    require(found.ir_version <= _MAX_IR, f"IR version {found.ir_version}")
    return opset
