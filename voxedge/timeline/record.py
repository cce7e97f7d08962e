"""The answer for one recording: who spoke when; as JSON, and as RTTM."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple, NotRequired, TypedDict

from voxedge.inference.prediction import MatchRecord, Prediction, ScoreRecord, ThresholdRecord


class SegmentRecord(TypedDict):
    """A ``Segment`` in JSON."""

    start: float
    end: float
    speaker: str
    cosine: NotRequired[float]
    probability: NotRequired[float]


class SpeakerRecord(TypedDict):
    """A ``Speaker`` in JSON."""

    speaker: str
    seconds: float
    known: bool
    predictions: NotRequired[list[ScoreRecord]]
    matches: NotRequired[list[MatchRecord]]


class TimelineRecord(TypedDict):
    """What ``voxedge timeline --json`` prints."""

    path: str
    seconds: float
    speech: float
    speakers: list[SpeakerRecord]
    segments: list[SegmentRecord]
    threshold: NotRequired[ThresholdRecord | None]
    model: str
    provider: str
    warnings: NotRequired[list[str]]


class Segment(NamedTuple):
    """Somebody speaks."""

    start: float  # seconds
    end: float
    speaker: str
    #: Of the segment's windows with the mean of the speaker's in this recording; no probability.
    cosine: float
    #: The mean over the segment's windows, of one of a model file's own speakers.
    probability: float | None = None

    def to_dict(self) -> SegmentRecord:
        """As JSON holds it."""
        record: SegmentRecord = {
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "speaker": self.speaker,
        }
        if self.probability is None:
            record["cosine"] = round(self.cosine, 4)
        else:
            record["probability"] = round(self.probability, 4)
        return record


@dataclass(frozen=True)
class Speaker:
    """A speaker of a recording."""

    speaker: str  # a name, or ``unknown-1``
    seconds: float  # of all segments
    #: For all windows of the speaker together; where two clusters got one name, for the first.
    answer: Prediction

    @property
    def known(self) -> bool:
        """Whether it has a name."""
        return self.answer.speaker is not None

    def to_dict(self) -> SpeakerRecord:
        """As JSON holds it."""
        record: SpeakerRecord = {
            "speaker": self.speaker,
            "seconds": round(self.seconds, 3),
            "known": self.known,
        }
        guesses = self.answer.to_dict()
        if self.answer.matches is not None:
            record["matches"] = guesses["matches"]
        elif self.answer.predictions:
            record["predictions"] = guesses["predictions"]
        return record


@dataclass(frozen=True)
class Timeline:
    """Who spoke when in a recording; segments never overlap."""

    path: str
    seconds: float  # of the recording
    speech: float  # seconds of it
    speakers: tuple[Speaker, ...]  # in order of appearance
    segments: tuple[Segment, ...]  # in order
    model: str  # name of the model file
    provider: str  # ONNX Runtime's execution provider
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> TimelineRecord:
        """The record that ``voxedge timeline --json`` prints."""
        record: TimelineRecord = {
            "path": self.path,
            "seconds": round(self.seconds, 3),
            "speech": round(self.speech, 3),
            "speakers": [speaker.to_dict() for speaker in self.speakers],
            "segments": [segment.to_dict() for segment in self.segments],
            "model": self.model,
            "provider": self.provider,
        }
        answer = self.speakers[0].answer
        if answer.matches is not None:
            record["threshold"] = answer.threshold and answer.threshold.to_dict()
        if self.warnings:
            record["warnings"] = list(self.warnings)
        return record

    def rttm(self) -> Iterator[str]:
        """The lines of an RTTM file (NIST 2009, "The 2009 RT evaluation plan", appendix A).

        Its fields are divided by blanks, so blanks within names become underscores.
        """
        name = _word(PurePath(self.path).stem)
        for segment in self.segments:
            yield (
                f"SPEAKER {name} 1 {segment.start:.3f} {segment.end - segment.start:.3f}"
                f" <NA> <NA> {_word(segment.speaker)} <NA> <NA>"
            )


def _word(text: str) -> str:
    """Text as one word."""
    return re.sub(r"\s+", "_", text.strip()) or "_"
