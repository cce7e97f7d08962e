"""What a model file says of itself: one metadata entry, a JSON object, checked when it is made.

Names, rates, window and parity are in the file, so that a device needs nothing beside it
(docs/design.md, "The model file").
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from voxedge.errors import ModelError

SUFFIX = ".onnx"
SCHEMA = 1
KEY = "voxedge"
DIGEST_BLANK = "0" * 64  # in the digest's place while the digest is computed

_MIN_WINDOW = 0.25  # seconds, as in recipes: shorter ones would cut a clip into millions


def require(condition: bool, what: str) -> None:
    """Refuse a model file.

    Raises:
        ModelError: the condition does not hold.
    """
    if not condition:
        raise ModelError(f"the model file is refused: {what}")


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
        require(len(self.labels) >= 2, "fewer than two labels")
        require(len(set(self.labels)) == len(self.labels), "the same label twice")
        require(all(self.labels), "an empty label")
        require(4_000 <= self.sample_rate <= 384_000, f"sample_rate {self.sample_rate}")
        require(_MIN_WINDOW <= self.window_seconds <= 60, f"window_seconds {self.window_seconds}")
        require(0 < self.min_seconds <= self.window_seconds, f"min_seconds {self.min_seconds}")
        require(0 < self.embedding_dim <= 1 << 16, f"embedding_dim {self.embedding_dim}")
        require(0 < self.temperature < 1e6, f"temperature {self.temperature}")
        require(self.input.get("dtype", "float32") in ("float32", "int16"), "an unknown dtype")
        channels = self.input.get("channels", 1)
        require(type(channels) is int and 1 <= channels <= 32, f"channels {channels!r}")

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
        require(isinstance(value, dict), "the metadata is not an object")
        schema = value.get("schema")
        require(type(schema) is int and schema >= 1, "no schema number")
        if schema > SCHEMA:
            raise ModelError(
                f"the model file has metadata schema {schema}; this voxedge reads up to {SCHEMA}",
                "upgrade voxedge",
            )
        known = {item.name: str(item.type) for item in fields(cls)}
        for name, kind in known.items():
            if name in value:
                require(_fits(value[name], kind), f"{name} is not of the right type")
        try:
            chosen = {name: value[name] for name in known if name in value}
            chosen["labels"] = tuple(value["labels"])
            return cls(**chosen)
        except (KeyError, TypeError) as error:
            raise ModelError(f"the model's metadata is incomplete: {error}") from None


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
