"""The answer for one clip: a prediction, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from voxedge.errors import VoxedgeError


class ScoreRecord(TypedDict):
    """A ``Score`` in JSON."""

    speaker: str
    probability: float


class PredictionRecord(TypedDict):
    """A line of ``voxedge identify --json`` for a clip that was answered."""

    path: str
    seconds: float
    speaker: str | None
    predictions: list[ScoreRecord]
    windows: int
    model: str
    provider: str
    reason: NotRequired[str]
    warnings: NotRequired[list[str]]


class ErrorRecord(TypedDict):
    """An error in JSON."""

    code: str
    message: str


class FailureRecord(TypedDict):
    """A line of ``voxedge identify --json`` for a clip that could not be answered."""

    path: str
    error: ErrorRecord


class Score(NamedTuple):
    """A speaker, and the probability that the model gives it."""

    speaker: str
    probability: float  # 0 to 1


@dataclass(frozen=True)
class Prediction:
    """The answer for one clip."""

    path: str
    seconds: float
    speaker: str | None  # the most probable one; None where there is a ``reason``
    predictions: tuple[Score, ...]  # best first
    windows: int  # over which the answer is averaged
    model: str  # name of the model file
    provider: str  # ONNX Runtime's execution provider
    reason: str | None = None  # why no speaker is named: "low_energy"
    warnings: tuple[str, ...] = ()
    embedding: npt.NDArray[np.float32] | None = field(  # [E], unit length
        default=None, repr=False, compare=False
    )

    def to_dict(self) -> PredictionRecord:
        """The record that ``voxedge identify --json`` prints."""
        record: PredictionRecord = {
            "path": self.path,
            "seconds": round(self.seconds, 3),
            "speaker": self.speaker,
            "predictions": [
                {"speaker": name, "probability": round(probability, 6)}
                for name, probability in self.predictions
            ],
            "windows": self.windows,
            "model": self.model,
            "provider": self.provider,
        }
        if self.reason:
            record["reason"] = self.reason
        if self.warnings:
            record["warnings"] = list(self.warnings)
        return record


@dataclass(frozen=True)
class Failure:
    """A clip without an answer; the other clips of the call have theirs."""

    path: str
    error: VoxedgeError

    def to_dict(self) -> FailureRecord:
        """The record that ``voxedge identify --json`` prints."""
        return {"path": self.path, "error": {"code": self.error.code, "message": str(self.error)}}
