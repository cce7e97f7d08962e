"""What a model answers to labelled clips, as they are and under stress; kept in one JSON file.

Figures are computed from these answers alone, so that they can be computed anew, and two models be
compared clip by clip, without hearing anything again. Clips are decoded once, spoilt as they are
needed, and forgotten: memory does not grow with the corpus.

Shapes: S samples, K classes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from voxedge.audio import load as audio
from voxedge.audio.limits import Samples
from voxedge.audio.windows import is_low_energy
from voxedge.data.manifest import Clip
from voxedge.errors import AudioError, CorpusError, NonFiniteOutput
from voxedge.evaluation.conditions import CLEAN, Condition, Environment
from voxedge.evaluation.model import Model
from voxedge.files import write_text
from voxedge.inference.scoring import ClipScores
from voxedge.threads import ordered_map

SCHEMA = 1
FILE = "evaluation.json"
_FOLDER = "evaluation"
_KEPT = 5  # guesses of an answer


def folder_of(place: Path) -> Path:
    """Where the evaluation of a run (its folder), or of a model file, belongs."""
    return place / _FOLDER if place.is_dir() else place.with_name(f"{place.stem}-{_FOLDER}")


class Answer(NamedTuple):
    """What the model said of a clip under one condition."""

    rank: int  # of the true speaker: 0 is right; K where no speaker was named
    windows: int
    predictions: tuple[tuple[str, float], ...]  # the best five, with their probabilities

    @property
    def probability(self) -> float:
        """Of the best guess."""
        return self.predictions[0][1] if self.predictions else 0.0


@dataclass(frozen=True)
class Record:
    """A clip and its answers."""

    path: str  # relative to the corpus
    speaker: str
    seconds: float
    digest: str  # of the decoded samples: the same audio is the same clip
    known: bool  # whether the model was trained on its speaker
    answers: dict[str, Answer] = field(default_factory=dict)  # condition -> answer


@dataclass(frozen=True)
class Evaluation:
    """All that was asked and answered."""

    subject: dict[str, Any]  # what was measured on what
    conditions: tuple[str, ...]  # the first is CLEAN
    records: tuple[Record, ...]
    problems: tuple[dict[str, str], ...] = ()  # clips that could not be used: path, code, message

    @property
    def known(self) -> list[Record]:
        """The clips that can be answered right."""
        return [record for record in self.records if record.known]

    @property
    def strangers(self) -> list[Record]:
        """The clips of speakers that the model was not trained on."""
        return [record for record in self.records if not record.known]

    def write(self, path: Path, measures: dict[str, Any]) -> None:
        """All of it and its figures as one JSON file."""
        clips = [
            {
                "path": record.path,
                "speaker": record.speaker,
                "seconds": record.seconds,
                "digest": record.digest,
                "known": record.known,
                "answers": {name: _to_dict(answer) for name, answer in record.answers.items()},
            }
            for record in self.records
        ]
        value = {
            "schema": SCHEMA,
            "subject": self.subject,
            "conditions": list(self.conditions),
            "measures": measures,
            "problems": list(self.problems),
        }
        head = json.dumps(value, indent=1)[:-2]  # without its closing brace: clips go a line each
        lines = ",\n".join(json.dumps(clip) for clip in clips)
        write_text(path, f'{head},\n "clips": [\n{lines}\n]}}\n')

    @classmethod
    def read(cls, path: Path) -> Evaluation:
        """Read what ``write`` wrote.

        Raises:
            CorpusError: it is missing, or not such a file.
        """
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            if value["schema"] != SCHEMA:
                raise CorpusError(f"{path} has schema {value['schema']}, not {SCHEMA}")
            records = tuple(
                Record(**clip | {"answers": {k: _answer(a) for k, a in clip["answers"].items()}})
                for clip in value["clips"]
            )
            conditions, problems = tuple(value["conditions"]), tuple(value["problems"])
            return cls(value["subject"], conditions, records, problems)
        except FileNotFoundError:
            raise CorpusError(f"there is no {path}", "make one with: voxedge evaluate") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorpusError(f"{path} is not an evaluation: {error}") from None


def ask(
    model: Model,
    clips: Sequence[Clip],
    conditions: Sequence[Condition] = (),
    surroundings: Environment | None = None,
    *,
    subject: dict[str, Any] | None = None,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Ask a model who speaks in each clip, clean and under each condition.

    Clips of speakers that it does not know are asked about clean only.

    Args:
        model: see there.
        clips: with their true speakers.
        conditions: beside clean.
        surroundings: what the conditions need.
        subject: what is measured on what, for the file.
        workers: threads that decode and spoil.
        progress: called with (clips done, clips in all).

    Raises:
        CorpusError: no clip can be used.
        NonFiniteOutput: the model answered NaN.
    """
    classes = {label: index for index, label in enumerate(model.labels)}
    problems: list[dict[str, str]] = []
    records: list[Record] = []
    around = surroundings or Environment()

    def decode(clip: Clip) -> audio.Audio | AudioError:
        try:
            return audio.decode(clip.path, model.sample_rate)
        except AudioError as error:
            return error

    def tasks() -> Iterator[tuple[Record, Condition | None, Samples]]:
        decoded = ordered_map(decode, clips, workers)
        for done, (clip, found) in enumerate(zip(clips, decoded, strict=True), 1):
            problem = _problem(clip, found)
            if problem:
                problems.append(problem)
            else:
                assert isinstance(found, audio.Audio)
                digest = hashlib.sha256(found.samples.data).hexdigest()[:32]
                known = clip.speaker in classes
                record = Record(clip.name, clip.speaker, round(found.seconds, 3), digest, known)
                records.append(record)
                for condition in (None, *conditions) if known else (None,):
                    yield record, condition, found.samples
            if progress:
                progress(done, len(clips))

    def spoil(
        task: tuple[Record, Condition | None, Samples],
    ) -> tuple[tuple[Record, str], Samples]:
        record, condition, samples = task
        if condition is None:
            return (record, CLEAN), samples
        return (record, condition.name), condition(samples, model.sample_rate, around)

    for scores in model.score(ordered_map(spoil, tasks(), workers)):
        record, name = scores.key
        record.answers[name] = _ranked(scores, model.labels, classes.get(record.speaker), record)
    if not records:
        first = problems[0]["message"] if problems else "there are none"
        raise CorpusError(f"no clip can be used: {first}")
    names = (CLEAN, *(condition.name for condition in conditions))
    return Evaluation(subject or {}, names, tuple(records), tuple(problems))


def _problem(clip: Clip, found: audio.Audio | AudioError) -> dict[str, str] | None:
    if isinstance(found, AudioError):
        return {"path": clip.name, "code": found.code, "message": str(found)}
    if is_low_energy(found.samples):
        return {"path": clip.name, "code": "silent", "message": "silence"}
    return None


def _ranked(
    scores: ClipScores[Any], labels: Sequence[str], truth: int | None, record: Record
) -> Answer:
    if scores.windows == 0:
        return Answer(max(len(labels), _KEPT), 0, ())  # wrong, however few speakers there are
    probabilities = scores.probabilities
    if not np.isfinite(probabilities).all():
        raise NonFiniteOutput(f"the model's answer to {record.path} is not a number")
    best = np.argsort(-probabilities, kind="stable")[:_KEPT]
    guesses = tuple((labels[k], round(float(probabilities[k]), 6)) for k in best)
    rank = len(labels)
    if truth is not None:  # a tie counts against the true class, as in metrics.top_k_hits
        rank = int(np.sum(probabilities >= probabilities[truth])) - 1
    return Answer(rank, scores.windows, guesses)


def _to_dict(answer: Answer) -> dict[str, Any]:
    return {
        "correct": answer.rank == 0,
        "rank": answer.rank,
        "probability": answer.probability,
        "windows": answer.windows,
        "predictions": [list(guess) for guess in answer.predictions],
    }


def _answer(value: dict[str, Any]) -> Answer:
    guesses = tuple((str(name), float(probability)) for name, probability in value["predictions"])
    return Answer(int(value["rank"]), int(value["windows"]), guesses)
