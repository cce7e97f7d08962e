"""The model file: what its metadata says, opening it safely, refusing it clearly.

One ``.onnx`` file carries everything a device needs to know: names, rates, thresholds, parity. They
stand in one metadata entry ``voxedge``, a JSON object (docs/design.md, "The model file"), sealed by
a SHA-256 over the whole file, since a flipped bit in the weights changes answers without an error.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

from voxedge import onnx_wire
from voxedge.errors import ModelError, ModelNotFound

SUFFIX = ".onnx"
SCHEMA = 1
KEY = "voxedge"
DIGEST_BLANK = "0" * 64  # stands in the digest's place while the digest is computed

_MAX_FILE = 1 << 30
_MAX_METADATA = 16 << 20
_MAX_OPSET, _MAX_IR = 20, 10
_CONTROL_FLOW = {"Loop", "Scan", "If", "SequenceMap"}
_DOMAINS = {"", "ai.onnx"}  # com.microsoft has loops and operators that open files
_Stamp: TypeAlias = tuple[int, int, int, int]  # which file, and in which state
_MIN_WINDOW = 0.25  # seconds, as in recipes: shorter ones would cut a clip into millions


@dataclass(frozen=True)
class Metadata:
    """What a voxedge model file says of itself (schema 1)."""

    labels: tuple[str, ...]  # in class order
    sample_rate: int  # Hz, of the ``pcm`` input
    window_seconds: float
    min_seconds: float
    embedding_dim: int
    temperature: float  # logits are divided by it before the softmax
    input: dict[str, Any] = field(default_factory=dict)  # of ``pcm``: dtype, rate, channels
    frontend: dict[str, Any] = field(default_factory=dict)
    thresholds: dict[str, Any] = field(default_factory=dict)
    precision: str = "fp32"
    parity: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    digest: str = DIGEST_BLANK
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        _require(len(self.labels) >= 2, "fewer than two labels")
        _require(len(set(self.labels)) == len(self.labels), "the same label twice")
        _require(all(self.labels), "an empty label")
        _require(4_000 <= self.sample_rate <= 384_000, f"sample_rate {self.sample_rate}")
        _require(_MIN_WINDOW <= self.window_seconds <= 60, f"window_seconds {self.window_seconds}")
        _require(0 < self.min_seconds <= self.window_seconds, f"min_seconds {self.min_seconds}")
        _require(0 < self.embedding_dim <= 1 << 16, f"embedding_dim {self.embedding_dim}")
        _require(0 < self.temperature < 1e6, f"temperature {self.temperature}")
        _require(self.input.get("dtype", "float32") in ("float32", "int16"), "an unknown dtype")
        channels = self.input.get("channels", 1)
        _require(type(channels) is int and 1 <= channels <= 32, f"channels {channels!r}")

    @property
    def dtype(self) -> str:
        """Of the ``pcm`` input: ``float32``, or ``int16`` with full scale 32,768."""
        return str(self.input.get("dtype", "float32"))

    @property
    def channels(self) -> int:
        """Of the ``pcm`` input, interleaved."""
        return int(self.input.get("channels", 1))

    @property
    def window(self) -> int:
        """W, the samples of one window."""
        return round(self.window_seconds * self.sample_rate)

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces, so that the same model has the same bytes."""
        return json.dumps(
            asdict(self),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Metadata:
        """Parse and check.

        Raises:
            ModelError: not JSON, a newer schema, missing or impossible values.
        """
        try:
            value = json.loads(
                text,
                object_pairs_hook=_no_duplicates,
                parse_float=_finite,
                parse_constant=_finite,
            )
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the model's metadata is not valid JSON: {error}") from None
        _require(isinstance(value, dict), "the metadata is not an object")
        schema = value.get("schema")
        _require(type(schema) is int and schema >= 1, "no schema number")
        if schema > SCHEMA:
            raise ModelError(
                f"the model file has metadata schema {schema}; this voxedge reads up to {SCHEMA}",
                "upgrade voxedge",
            )
        known = {item.name: str(item.type) for item in fields(cls)}
        for name, kind in known.items():
            if name in value:
                _require(_fits(value[name], kind), f"{name} is not of the right type")
        try:
            chosen = {name: value[name] for name in known if name in value}
            chosen["labels"] = tuple(value["labels"])
            return cls(**chosen)
        except (KeyError, TypeError) as error:
            raise ModelError(f"the model's metadata is incomplete: {error}") from None


@dataclass(frozen=True)
class Artifact:
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


def read(path: str | Path) -> Artifact:
    """Read a model file, trusting nothing in it.

    Raises:
        ModelNotFound: there is no such file.
        ModelError: it is not a voxedge model, is damaged, or holds what could harm.
    """
    path = Path(path)
    data, stamp = _content(path)
    try:
        found = onnx_wire.skeleton(data)
    except onnx_wire.WireError as error:
        raise ModelError(f"{path.name} is not an ONNX file, or is damaged: {error}") from None
    entries = [(start, end) for key, start, end in found.metadata if key == KEY.encode()]
    if not entries:
        raise ModelError(
            f"{path.name} is not a voxedge model: it has no '{KEY}' metadata",
            "make one with: voxedge export model.onnx",
        )
    _require(
        len({key for key, _, _ in found.metadata}) == len(found.metadata), "a metadata key twice"
    )
    (start, end) = entries[0]
    _require(end - start <= _MAX_METADATA, f"{end - start} bytes of metadata")
    metadata = Metadata.from_json(data[start:end])
    if digest(data, start, end, metadata.digest) != metadata.digest:
        raise ModelError(
            f"{path.name} is damaged: its content does not match its digest", "copy it again"
        )
    _require(not found.external_data, "tensors outside the file")
    _require(not found.operators & _CONTROL_FLOW, "control flow operators")
    _require(set(found.opsets) <= _DOMAINS, f"operators of {sorted(set(found.opsets) - _DOMAINS)}")
    opset = found.opsets.get("", 0) or found.opsets.get("ai.onnx", 0)
    _require(0 < opset <= _MAX_OPSET, f"opset {opset}; up to {_MAX_OPSET} is read")
    _require(found.ir_version <= _MAX_IR, f"IR version {found.ir_version}")
    return Artifact(path, len(data), metadata, opset, found.ir_version, stamp)


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
    _require(re.fullmatch("[0-9a-f]{64}", written) is not None, "no digest")
    pattern = rb'"digest"\s*:\s*"' + written.encode() + b'"'
    places = list(re.finditer(pattern, data[start:end]))
    _require(len(places) == 1, "a digest that cannot be located")
    at = start + places[0].end() - 65
    content = hashlib.sha256(memoryview(data)[:at])
    content.update(DIGEST_BLANK.encode())
    content.update(memoryview(data)[at + 64 :])
    return content.hexdigest()


def seal(data: bytes) -> bytes:
    """A serialised model whose metadata holds ``DIGEST_BLANK``, with its real digest put in."""
    entries = [e for e in onnx_wire.skeleton(data).metadata if e[0] == KEY.encode()]
    _, start, end = entries[0]
    real = digest(data, start, end, DIGEST_BLANK).encode()
    at = data.index(b'"digest":"' + DIGEST_BLANK.encode(), start, end) + len(b'"digest":"')
    return data[:at] + real + data[at + 64 :]


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
            _require(found.st_size <= _MAX_FILE, f"{found.st_size} bytes")
            return file.read(), _state(found)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{path} cannot be read: {reason}") from None


def _state(found: os.stat_result) -> _Stamp:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("the same key twice")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _fits(value: object, kind: str) -> bool:
    if kind.startswith("tuple[str"):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if kind.startswith("dict"):
        return isinstance(value, dict)
    if kind == "float":
        return type(value) in (int, float)
    return type(value).__name__ == kind


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ModelError(f"the model file is refused: {what}")
