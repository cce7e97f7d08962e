"""A model's answers for labelled clips, clean and degraded, as one JSON file.

All metrics are computed from these answers, so they can be computed again, and two models can be
compared clip by clip, without running a model again. Clips are decoded once, degraded when they are
needed, and dropped: memory does not grow with the corpus.

Shapes: S samples, K classes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np

from voxedge.audio.limits import Samples
from voxedge.audio.load import Audio
from voxedge.audio.windows import is_low_energy
from voxedge.data.clips import Clip
from voxedge.errors import AudioError, CorpusError, NonFiniteOutput
from voxedge.evaluation.clips import decode_clips
from voxedge.evaluation.conditions import CLEAN, Condition, Environment
from voxedge.evaluation.model import Model
from voxedge.files import write_text
from voxedge.inference.scoring import ClipScores
from voxedge.names import speaker_name
from voxedge.threads import ordered_map

SCHEMA = 1
FILE = "evaluation.json"
_FOLDER = "evaluation"
_KEPT = 5  # predictions of an answer
_LEAST_PROBABILITY = 1e-300  # whose logarithm is finite


class Subject(TypedDict, total=False):
    """What was measured, and on which clips."""

    model: str  # name of the run, the model file or the baseline
    kind: str  # "run", "file" or "rival"
    digest: str  # of a model file
    precision: str  # of a model file
    data: str  # name of the corpus
    data_digest: str  # of the corpus that a run was trained on
    split: str | None  # side of the corpus; None for a corpus without a split
    train_seconds: float  # of a baseline
    clips_per_second: float  # of a baseline


class ClipProblem(TypedDict):
    """Why a clip could not be used."""

    path: str
    code: str
    message: str


class Answer(NamedTuple):
    """The model's answer for a clip under one condition."""

    rank: int  # of the true speaker, 0 being the best; K or more if the model named nobody
    windows: int
    predictions: tuple[tuple[str, float], ...]  # the best five speakers with their probabilities
    score: float | None = None  # that it is one of the speakers; None: nobody was named

    @property
    def probability(self) -> float:
        """Probability of the best prediction."""
        return self.predictions[0][1] if self.predictions else 0.0


@dataclass(frozen=True)
class Record:
    """A clip and the model's answers for it."""

    path: str  # relative to the corpus
    speaker: str
    seconds: float
    digest: str  # of the decoded samples; it identifies the clip across evaluations
    known: bool  # the model was trained on this speaker
    answers: dict[str, Answer] = field(default_factory=dict)  # condition -> answer

    def to_dict(self) -> dict[str, object]:
        """As JSON holds it."""
        answers = {name: _to_dict(answer) for name, answer in self.answers.items()}
        return {**vars(self), "answers": answers}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Record:
        """Of what ``to_dict`` made."""
        answers = {name: _answer(answer) for name, answer in value["answers"].items()}
        return cls(**{**value, "answers": answers})


@dataclass(frozen=True)
class Evaluation:
    """The answers of a model for all clips under all conditions."""

    subject: Subject
    conditions: tuple[str, ...]  # the first is CLEAN
    records: tuple[Record, ...]
    problems: tuple[ClipProblem, ...] = ()
    unseen: tuple[Record, ...] = ()  # clips of people that the model was not trained on, set apart
    #: Least scores by which a model file names somebody, by the share of strangers; {}: none.
    thresholds: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def known(self) -> list[Record]:
        """The clips of speakers that the model was trained on."""
        return [record for record in self.records if record.known]

    @property
    def unknown(self) -> list[Record]:
        """The clips of other speakers."""
        return [record for record in self.records if not record.known]

    def write(self, path: Path, measures: Mapping[str, object]) -> None:
        """Write the answers and the metrics that follow from them as one JSON file."""
        value = {
            "schema": SCHEMA,
            "subject": self.subject,
            "conditions": list(self.conditions),
            "measures": measures,
            "problems": list(self.problems),
            "thresholds": dict(self.thresholds),
        }
        text = json.dumps(value, indent=1)[:-2]  # without the closing brace: one line for each clip
        for key, records in (("unseen", self.unseen), ("clips", self.records)):
            lines = ",\n".join(json.dumps(record.to_dict()) for record in records)
            text += f',\n "{key}": [\n{lines}\n]'
        write_text(path, f"{text}}}\n")

    @classmethod
    def read(cls, path: Path) -> Evaluation:
        """Read a file that ``write`` wrote.

        Raises:
            CorpusError: it is missing, or not an evaluation.
        """
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            if value["schema"] != SCHEMA:
                raise CorpusError(f"{path} has schema {value['schema']}, not {SCHEMA}")
            records, unseen = (
                tuple(map(Record.from_dict, value.get(key, ()))) for key in ("clips", "unseen")
            )
            return cls(
                value["subject"],
                tuple(value["conditions"]),
                records,
                tuple(value["problems"]),
                unseen,
                value.get("thresholds", {}),
            )
        except FileNotFoundError:
            raise CorpusError(f"there is no {path}", "make one with: voxedge evaluate") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorpusError(f"{path} is not an evaluation: {error}") from None


class _Task(NamedTuple):
    record: Record
    condition: Condition | None  # None for clean
    samples: Samples


class _Key(NamedTuple):
    record: Record
    condition: str
    seconds: float  # after it was degraded


def folder_of(place: Path) -> Path:
    """Return the folder for the evaluation of a run (its folder) or of a model file."""
    return place / _FOLDER if place.is_dir() else place.with_name(f"{place.stem}-{_FOLDER}")


def best_logit(scores: ClipScores[Any], _seconds: float) -> float:
    """What tells strangers where nothing was calibrated: the maximum logit score.

    From Vaze et al. 2022, "Open-set recognition: a good closed-set classifier is all you need". A
    rival that gives no logits is judged by the logarithm of its largest probability.
    """
    if scores.logits.size:
        return float(scores.logits.max())
    return float(np.log(max(scores.probabilities.max(), _LEAST_PROBABILITY)))


def ask(
    model: Model,
    clips: Sequence[Clip],
    conditions: Sequence[Condition] = (),
    environment: Environment | None = None,
    *,
    subject: Subject | None = None,
    score: Callable[[ClipScores[Any], float], float] = best_logit,
    strangers: bool = False,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Run a model on labelled clips, clean and under each condition.

    Clips of speakers that the model was not trained on are only run clean, but with ``strangers``.

    Args:
        model: what to evaluate.
        clips: with their true speakers.
        conditions: in addition to clean.
        environment: the noises and rooms that the conditions need.
        subject: description of the model and the clips, for the file.
        score: of a clip's scores and seconds; the higher, the less like a stranger's.
        strangers: whether clips of other speakers are degraded as well.
        workers: threads that decode and degrade.
        progress: called with (clips done, all clips).

    Raises:
        CorpusError: no clip can be used.
        NonFiniteOutput: the model returned NaN.
    """
    class_of = _classes(model.labels)
    records: list[Record] = []
    problems: list[ClipProblem] = []

    def tasks() -> Iterator[_Task]:
        for clip, audio in decode_clips(clips, model.sample_rate, workers, progress):
            if isinstance(audio, AudioError):
                problems.append({"path": clip.name, "code": audio.code, "message": str(audio)})
            elif is_low_energy(audio.samples):
                problems.append({"path": clip.name, "code": "silent", "message": "silence"})
            else:
                record = _record(clip, audio, class_of(clip.speaker) is not None)
                records.append(record)
                for condition in (None, *conditions) if record.known or strangers else (None,):
                    yield _Task(record, condition, audio.samples)

    degrade = partial(_degrade, model.sample_rate, environment or Environment())
    for scores in model.score(ordered_map(degrade, tasks(), workers)):
        record, name, seconds = scores.key
        answer = _ranked(scores, model.labels, class_of(record.speaker), record)
        if scores.windows:
            answer = answer._replace(score=round(score(scores, seconds), 6))
        record.answers[name] = answer
    if not records:
        first = problems[0]["message"] if problems else "there are none"
        raise CorpusError(f"no clip can be used: {first}")
    names = (CLEAN, *(condition.name for condition in conditions))
    return Evaluation(subject or {}, names, tuple(records), tuple(problems))


def _degrade(rate: int, environment: Environment, task: _Task) -> tuple[_Key, Samples]:
    record, condition, samples = task
    if condition is not None:
        samples = condition(samples, rate, environment)
    name = CLEAN if condition is None else condition.name
    return _Key(record, name, len(samples) / rate), samples


def _classes(labels: Sequence[str]) -> Callable[[str], int | None]:
    """The class of a speaker: also where a label, of a corpus from macOS, is not in NFC."""
    classes = {speaker_name(label): index for index, label in enumerate(labels)}
    classes |= {label: index for index, label in enumerate(labels)}
    return lambda speaker: classes.get(speaker, classes.get(speaker_name(speaker)))


def _record(clip: Clip, audio: Audio, known: bool) -> Record:
    digest = hashlib.sha256(audio.samples.data).hexdigest()[:32]
    return Record(clip.name, clip.speaker, round(audio.seconds, 3), digest, known)


def _ranked(
    scores: ClipScores[Any], labels: Sequence[str], truth: int | None, record: Record
) -> Answer:
    """Turn the scores of a clip into an answer; ``truth`` is None for an unknown speaker."""
    if scores.windows == 0:
        return Answer(max(len(labels), _KEPT), 0, ())  # not even among the best five
    probabilities = scores.probabilities
    if not np.isfinite(probabilities).all():
        raise NonFiniteOutput(f"the model's output for {record.path} is not finite")
    best = np.argsort(-probabilities, kind="stable")[:_KEPT]
    predictions = tuple((labels[k], round(float(probabilities[k]), 6)) for k in best)
    rank = len(labels)
    if truth is not None:  # a tie counts against the true class, as in metrics.top_k_hits
        rank = int(np.sum(probabilities >= probabilities[truth])) - 1
    return Answer(rank, scores.windows, predictions)


def _to_dict(answer: Answer) -> dict[str, object]:
    return {
        "correct": answer.rank == 0,
        "rank": answer.rank,
        "probability": answer.probability,
        "windows": answer.windows,
        "score": answer.score,
        "predictions": [list(prediction) for prediction in answer.predictions],
    }


def _answer(value: Mapping[str, Any]) -> Answer:
    predictions = tuple((str(name), float(p)) for name, p in value["predictions"])
    score = value.get("score")  # which files of 0.2.0 lack
    return Answer(
        int(value["rank"]),
        int(value["windows"]),
        predictions,
        None if score is None else float(score),
    )
