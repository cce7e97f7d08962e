"""Verify that two clips, or a person and a clip, are of one voice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from voxedge.audio.load import Source
from voxedge.errors import UsageError
from voxedge.gallery.calibration import LogOdds
from voxedge.gallery.embed import one_embedding
from voxedge.gallery.people import Contents, Floats, GalleryModel
from voxedge.gallery.thresholds import DEFAULT_ACCEPT, log_odds, pair_threshold
from voxedge.inference.identifier import Identifier
from voxedge.inference.open_set import probability
from voxedge.inference.prediction import Threshold, ThresholdRecord, rounded


class VerificationRecord(TypedDict):
    """A ``Verification`` in JSON."""

    cosine: float
    probability: float | None
    same: bool
    threshold: ThresholdRecord
    speech_seconds: list[float | None]


@dataclass(frozen=True)
class Verification:
    """Whether two clips, or a person and a clip, are one voice."""

    cosine: float
    same: bool
    threshold: Threshold
    speech_seconds: tuple[float | None, ...] = ()  # of the clips; None: they were not looked for
    #: That they are one voice, at even odds, as measured on clips of 2 to 4 s and means of three;
    #: None: it was not measured for the model file.
    probability: float | None = None

    def to_dict(self) -> VerificationRecord:
        """The record that ``voxedge verify --json`` prints."""
        return {
            "cosine": round(self.cosine, 6),
            "probability": None if self.probability is None else round(self.probability, 6),
            "same": self.same,
            "threshold": self.threshold.to_dict(),
            "speech_seconds": [rounded(seconds) for seconds in self.speech_seconds],
        }


def verify_clips(
    model: Identifier,
    first: Source | npt.ArrayLike,
    second: Source | npt.ArrayLike,
    *,
    accept: float = DEFAULT_ACCEPT,
    cosine: float | None = None,
) -> Verification:
    """Decide whether two clips are of one voice: see ``Gallery.verify``.

    Raises:
        AudioError: one of its kinds; also of a clip without speech.
        UsageError: no threshold is known for this model, and none is given.
    """
    nobody = Contents(GalleryModel.of(model.metadata, model.model_file.path.name))
    line = decided(nobody, accept, cosine)
    one, other = (one_embedding(model, source, None) for source in (first, second))
    seconds = (one.speech_seconds, other.speech_seconds)
    return compared(one.vector, other.vector, line, log_odds(nobody), seconds)


def decided(contents: Contents, accept: float, cosine: float | None) -> Threshold:
    """The threshold of a verification.

    Raises:
        UsageError: none is known, and none is given.
    """
    line = pair_threshold(contents, accept) if cosine is None else given(cosine)
    if line is None:
        raise UsageError(
            f"no threshold is known for {contents.model.file}",
            "--threshold COSINE; or measure it: voxedge gallery calibrate DATA",
        )
    return line


def given(cosine: float) -> Threshold:
    """A threshold that the caller chose.

    Raises:
        UsageError: it is no cosine.
    """
    if not -1 <= cosine <= 1:
        raise UsageError(f"a cosine is between -1 and 1, not {cosine}")
    return Threshold(cosine, "given")


def compared(
    one: Floats,
    other: Floats,
    line: Threshold,
    odds: LogOdds | None,
    speech_seconds: tuple[float | None, ...],
) -> Verification:
    """Compare two embeddings [E] of unit length; ``speech_seconds`` are those of the clips."""
    cosine = float(np.dot(one, other))
    known = None if odds is None else probability(odds.of(cosine))
    return Verification(cosine, cosine >= line.cosine, line, speech_seconds, known)
