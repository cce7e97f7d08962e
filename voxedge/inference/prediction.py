"""The answer for one clip: a prediction, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from voxedge.errors import VoxedgeError


class ScoreRecord(TypedDict):
    """A ``Score`` in JSON."""

    speaker: str
    probability: float


class MatchRecord(TypedDict):
    """A ``Match`` in JSON."""

    speaker: str
    cosine: float


class ThresholdRecord(TypedDict):
    """A ``Threshold`` in JSON."""

    cosine: float
    basis: str
    accept: float | None
    speakers: int


class _Guesses(TypedDict):
    """``matches`` and ``threshold`` are a gallery's; it has the others if it is calibrated."""

    predictions: NotRequired[list[ScoreRecord]]
    known: NotRequired[float]
    least_known: NotRequired[float]
    matches: NotRequired[list[MatchRecord]]
    threshold: NotRequired[ThresholdRecord | None]


class PredictionRecord(_Guesses):
    """A line of ``voxedge identify --json`` for a clip that was answered."""

    path: str
    seconds: float
    speech_seconds: float | None
    speaker: str | None
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


class Match(NamedTuple):
    """A person of a gallery, and how similar a clip is: a cosine, which is no probability."""

    speaker: str
    cosine: float  # of the clip's embedding and the person's, -1 to 1


class Threshold(NamedTuple):
    """The cosine from which on a clip is taken to be a person's."""

    cosine: float
    #: What it rests on: ``people`` of the gallery, ``strangers`` that the gallery was calibrated
    #: on, ``measured`` for this model by voxedge, or ``given`` by the caller.
    basis: Literal["people", "strangers", "measured", "given"]
    accept: float | None = None  # share of strangers who are let through, as it was measured
    speakers: int = 0  # on which it was measured

    def to_dict(self) -> ThresholdRecord:
        """As JSON holds it."""
        accept = None if self.accept is None else round(self.accept, 6)
        return {
            "cosine": round(self.cosine, 6),
            "basis": self.basis,
            "accept": accept,
            "speakers": self.speakers,
        }


@dataclass(frozen=True)
class Prediction:
    """The answer for one clip, by a model that names speakers or by a gallery of people."""

    path: str
    seconds: float
    speaker: str | None  # the best one; None where there is a ``reason``
    #: Of a model that names speakers, or of a calibrated gallery; best first.
    predictions: tuple[Score, ...]
    windows: int  # over which the answer is averaged
    model: str  # name of the model file
    provider: str  # ONNX Runtime's execution provider
    #: Why no speaker is named: ``no_speech`` (silence, noise or music), ``too_little_speech``, or
    #: ``unknown`` (below the threshold); by a gallery also ``no_threshold`` (there is none).
    reason: str | None = None
    warnings: tuple[str, ...] = ()
    embedding: npt.NDArray[np.float32] | None = field(  # [E], unit length
        default=None, repr=False, compare=False
    )
    matches: tuple[Match, ...] | None = None  # of a gallery, best first; None: there was none
    threshold: Threshold | None = None  # of the gallery
    speech_seconds: float | None = None  # of the clip; None: they were not looked for
    #: Probability, at even odds, that the clip is by one of the speakers; None: not known.
    known: float | None = None
    least_known: float | None = None  # below it nobody is named; None: somebody always is

    def to_dict(self) -> PredictionRecord:
        """The record that ``voxedge identify --json`` prints."""
        record: PredictionRecord = {
            "path": self.path,
            "seconds": round(self.seconds, 3),
            "speech_seconds": rounded(self.speech_seconds),
            "speaker": self.speaker,
            **self._guesses(),  # type: ignore[typeddict-item]  # those that are not required
            "windows": self.windows,
            "model": self.model,
            "provider": self.provider,
        }
        if self.reason:
            record["reason"] = self.reason
        if self.warnings:
            record["warnings"] = list(self.warnings)
        return record

    def _guesses(self) -> _Guesses:
        guesses: _Guesses = {}
        if self.matches is not None:
            guesses["matches"] = [
                {"speaker": m.speaker, "cosine": round(m.cosine, 6)} for m in self.matches
            ]
            guesses["threshold"] = self.threshold and self.threshold.to_dict()
        if self.predictions or self.matches is None:
            guesses["predictions"] = [
                {"speaker": name, "probability": round(probability, 6)}
                for name, probability in self.predictions
            ]
        if self.known is not None:
            guesses["known"] = round(self.known, 6)
        if self.least_known is not None:
            guesses["least_known"] = round(self.least_known, 6)
        return guesses


@dataclass(frozen=True)
class Failure:
    """A clip without an answer; the other clips of the call have theirs."""

    path: str
    error: VoxedgeError

    def to_dict(self) -> FailureRecord:
        """The record that ``voxedge identify --json`` prints."""
        return {"path": self.path, "error": {"code": self.error.code, "message": str(self.error)}}


def rounded(seconds: float | None) -> float | None:
    """Seconds as JSON holds them."""
    return None if seconds is None else round(seconds, 3)
