"""The metadata of a model file: one JSON object, checked whenever it is made or read.

Speaker names, sample rate, window and parity are in the file, so that a device needs no other
(docs/design.md, "The model file").
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypedDict

from voxedge.audio.limits import (
    MAX_CHANNELS,
    MAX_RATE,
    MAX_WINDOW_SECONDS,
    MIN_RATE,
    MIN_WINDOW_SECONDS,
)
from voxedge.errors import ModelError
from voxedge.install import DISTRIBUTION

SUFFIX = ".onnx"
SCHEMA = 2  # the newest that is read; files with names are of schema 1
KEY = "voxedge"  # of the metadata entry in the ONNX file
DIGEST_BLANK = "0" * 64  # stands for the digest while it is computed

_MAX_EMBEDDING_DIM = 1 << 16
_MAX_TEMPERATURE = 1e6


def require(condition: bool, problem: str) -> None:
    """Refuse a model file unless a condition holds.

    Raises:
        ModelError: it does not.
    """
    if not condition:
        raise ModelError(f"the model file is refused: {problem}")


class InputDescription(TypedDict, total=False):
    """What the ``pcm`` input holds; without it, mono float32 at ``sample_rate``."""

    dtype: str  # ``float32`` in [-1, 1], or ``int16``
    rate: int  # Hz, as ``sample_rate``
    channels: int  # interleaved


class GalleryDescription(TypedDict):
    """What a file that names the people of a gallery says of it."""

    model: str  # digest of the model file of embeddings
    scale: float  # logits are cosines times it
    offset: float  # log-odds, at even odds, that a clip is a person's: its logit plus this
    thresholds: dict[str, Any]  # by share of strangers: ``ThresholdRecord``


@dataclass(frozen=True)
class Metadata:
    """What a voxedge model file says about itself.

    Schema 1 is a file that names speakers. Schema 2 may also be one without labels: it gives
    embeddings only, has no logits and no probabilities, and its temperature means nothing. Or it
    names the people of a ``gallery``: then ``cosines`` are an output, and a clip of several windows
    is answered by the mean of their embeddings, as a gallery answers it.

    A reader reads every schema up to its own and refuses a newer one. It ignores the keys that it
    does not know. So a field that is added to a schema has a default, with which the files that
    lack it keep their meaning; a change that an old reader must not overlook is a new schema.

    ``frontend``, ``parity``, ``metrics``, ``training`` and what is in ``gallery`` are for people
    and reports: no answer depends on them, and what another program wrote there is not checked.
    ``thresholds`` is checked by ``voxedge.inference.open_set``, which uses it.
    """

    labels: tuple[str, ...]  # the speakers, in class order; none: embeddings only
    sample_rate: int  # Hz, of the ``pcm`` input
    window_seconds: float
    min_seconds: float  # a shorter clip is refused
    embedding_dim: int
    temperature: float  # logits are divided by it before the softmax
    input: InputDescription = field(default_factory=InputDescription)
    frontend: dict[str, Any] = field(default_factory=dict)  # settings of the recipe
    thresholds: dict[str, Any] = field(default_factory=dict)  # ``OpenSetRecord``; {}: none
    precision: str = "fp32"
    parity: dict[str, Any] = field(default_factory=dict)  # what the export measured
    metrics: dict[str, Any] = field(default_factory=dict)  # on the test split
    training: dict[str, Any] = field(default_factory=dict)  # recipe, data, versions
    licence: str = ""
    source: str = ""  # of a network that was trained elsewhere
    gallery: dict[str, Any] = field(default_factory=dict)  # ``GalleryDescription``; {}: none
    digest: str = DIGEST_BLANK
    schema: int = 1

    def __post_init__(self) -> None:
        least = 0 if self.schema >= 2 and not self.labels else 2
        require(len(self.labels) >= least, "fewer than two labels")
        require(not self.gallery or (self.schema >= 2 and self.names_speakers), "gallery")
        require(len(set(self.labels)) == len(self.labels), "the same label twice")
        require(all(self.labels), "an empty label")
        require(MIN_RATE <= self.sample_rate <= MAX_RATE, f"sample_rate {self.sample_rate}")
        require(
            MIN_WINDOW_SECONDS <= self.window_seconds <= MAX_WINDOW_SECONDS,
            f"window_seconds {self.window_seconds}",
        )
        require(0 < self.min_seconds <= self.window_seconds, f"min_seconds {self.min_seconds}")
        require(0 < self.embedding_dim <= _MAX_EMBEDDING_DIM, f"embedding_dim {self.embedding_dim}")
        require(0 < self.temperature < _MAX_TEMPERATURE, f"temperature {self.temperature}")
        require(self.dtype in ("float32", "int16"), "an unknown dtype")
        channels: object = self.input.get("channels", 1)
        require(type(channels) is int and 1 <= channels <= MAX_CHANNELS, f"channels {channels!r}")

    @property
    def dtype(self) -> str:
        """Type of the ``pcm`` input: ``float32``, or ``int16`` with full scale 32,768."""
        return str(self.input.get("dtype", "float32"))

    @property
    def channels(self) -> int:
        """Interleaved channels of the ``pcm`` input."""
        return int(self.input.get("channels", 1))

    @property
    def names_speakers(self) -> bool:
        """Whether the file names speakers; else it gives embeddings only."""
        return bool(self.labels)

    @property
    def outputs(self) -> dict[str, int]:
        """The graph's outputs and how many values of each a window has."""
        classes = len(self.labels)
        named = {"logits": classes, "probabilities": classes} if self.names_speakers else {}
        people = {"cosines": classes} if self.gallery else {}
        return {**named, "embedding": self.embedding_dim, **people}

    @property
    def window(self) -> int:
        """W: samples of one window."""
        return round(self.window_seconds * self.sample_rate)

    def to_json(self) -> str:
        """Write canonical JSON, so that equal metadata has equal bytes."""
        return json.dumps(
            asdict(self),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Metadata:
        """Parse the JSON of a model file, and check its values.

        Raises:
            ModelError: it is not JSON, of a newer schema, or has missing or impossible values.
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
                f"upgrade {DISTRIBUTION}",
            )
        known = {item.name: str(item.type) for item in fields(cls)}
        for name, kind in known.items():
            if name in value:
                require(_has_type(value[name], kind), f"{name} is not of the right type")
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


def _has_type(value: object, annotation: str) -> bool:
    """Whether a value parsed from JSON has the type that a field is annotated with."""
    if annotation == "tuple[str, ...]":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if annotation == "float":
        return type(value) in (int, float)
    if annotation in ("int", "str"):
        return type(value).__name__ == annotation
    return isinstance(value, dict)
