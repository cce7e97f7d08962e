"""Metrics of accuracy and calibration, from a model's answers.

Rates are fractions; intervals are 95 %, by a bootstrap over speakers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from voxedge.data.table import read_table
from voxedge.errors import CorpusError
from voxedge.evaluation.answers import Evaluation, Record
from voxedge.evaluation.conditions import CLEAN, CONDITIONS
from voxedge.evaluation.open_set import OpenSetMeasures
from voxedge.evaluation.verification import Verification
from voxedge.metrics import BinDict, IntervalDict, calibration_error, over_speakers, reliability
from voxedge.names import as_text, speaker_name

_SECONDS = (0, 1, 2, 3, 5, 10, 20)  # lower edges of the bins of clip length
_MOST_WINDOWS = 6  # clips with this many windows or more are one group
_MANY = 12  # distinct values beyond which a column of numbers is binned, and one of words ignored
_UNSTATED = "not stated"

Groups = dict[str, dict[str, str]]  # column -> speaker -> group


class Accuracy(TypedDict):
    """How often the true speaker is the best prediction, or among the best five."""

    clips: int
    top1: IntervalDict
    top5: IntervalDict


class GroupAccuracy(Accuracy):
    """Accuracy on a part of the clips."""

    name: str


class ConditionAccuracy(Accuracy):
    """Accuracy and calibration under one condition."""

    what: str  # description of the condition
    calibration_error: float
    reliability: list[BinDict]


class Confusion(TypedDict):
    """How many clips of one speaker were taken for another."""

    speaker: str
    answer: str | None  # None: the model named nobody
    clips: int
    of: int  # clips of this speaker


class UnknownSpeakers(TypedDict):
    """Clips of speakers that the model was not trained on."""

    clips: int
    speakers: int
    mean_probability: float | None  # of the best prediction


class _Measures(TypedDict):
    clips: int
    speakers: int
    conditions: dict[str, ConditionAccuracy]
    confusions: list[Confusion]
    per_speaker: list[GroupAccuracy]
    by_seconds: list[GroupAccuracy]
    by_windows: list[GroupAccuracy]
    groups: dict[str, list[GroupAccuracy]]  # column -> accuracy of each group
    strangers: UnknownSpeakers
    problems: int


class Measures(_Measures, total=False):
    """All metrics of an evaluation; those other than ``conditions`` are of the clean clips."""

    verification: Verification  # of the embeddings of unseen speakers
    open_set: OpenSetMeasures  # unseen speakers among those that the model knows


def measure(evaluation: Evaluation, groups: Groups | None = None) -> Measures:
    """Compute all metrics from the answers.

    Args:
        evaluation: the answers.
        groups: further divisions of the speakers to report accuracies for.

    Raises:
        CorpusError: the model was trained on none of the speakers.
    """
    known, unknown = evaluation.known, evaluation.unknown
    if not known:
        raise CorpusError(
            f"the model knows none of the {len({r.speaker for r in unknown})} speakers",
            "are the folders named like the model's labels? voxedge inspect lists them",
        )
    return {
        "clips": len(known),
        "speakers": len({record.speaker for record in known}),
        "conditions": {name: _of_condition(known, name) for name in evaluation.conditions},
        "confusions": _confusions(known),
        "per_speaker": _by(known, lambda r: r.speaker, key=_worst_first),
        "by_seconds": _by(known, lambda r: _length(r.seconds), key=_natural),
        "by_windows": _by(known, _windows, key=_natural),
        "groups": {
            column: rows
            for column, of in (groups or {}).items()
            if len(rows := _by(known, _group(of), key=_natural)) > 1
        },
        "strangers": {
            "clips": len(unknown),
            "speakers": len({record.speaker for record in unknown}),
            "mean_probability": _mean([r.answers[CLEAN].probability for r in unknown]),
        },
        "problems": len(evaluation.problems),
    }


def read_groups(path: Path) -> Groups:
    """Read groups of speakers from a CSV file: each column other than ``speaker`` divides them.

    A column of many different numbers is binned by its quartiles; a column of many different words
    (names, notes) or of a single value is ignored.

    Raises:
        CorpusError: the file cannot be read, or has no column ``speaker``.
    """
    rows = [row.cells for row in read_table(path, ["speaker"])]
    found: Groups = {}
    for column in rows[0] if rows else ():
        of = {
            speaker_name(row["speaker"]): as_text(row[column])
            for row in rows
            if row["speaker"] and row[column]
        }
        if column != "speaker" and len(set(of.values())) > _MANY:
            of = _binned(of)
        if column != "speaker" and len(set(of.values())) > 1:
            found[column] = of
    return found


def _of_condition(records: Sequence[Record], name: str) -> ConditionAccuracy:
    confidences, correct = confidences_of(records, name)
    return {
        "what": "the clips as they are" if name == CLEAN else CONDITIONS[name].description,
        **_accuracy(records, name),
        "calibration_error": calibration_error(confidences, correct),
        "reliability": [row.as_dict() for row in reliability(confidences, correct)],
    }


def confidences_of(
    records: Sequence[Record], name: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return the probability of the best prediction [N], and whether it is right [N]."""
    answers = [record.answers[name] for record in records]
    return np.array([a.probability for a in answers]), np.array([a.rank == 0 for a in answers])


def _accuracy(records: Sequence[Record], name: str = CLEAN) -> Accuracy:
    speakers = [record.speaker for record in records]
    ranks = np.array([record.answers[name].rank for record in records])
    return {
        "clips": len(records),
        "top1": over_speakers(ranks < 1, speakers).as_dict(),
        "top5": over_speakers(ranks < 5, speakers).as_dict(),
    }


def _by(
    records: Iterable[Record],
    group: Callable[[Record], str],
    key: Callable[[GroupAccuracy], tuple[Any, ...]],
) -> list[GroupAccuracy]:
    members: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        members[group(record)].append(record)
    rows: list[GroupAccuracy] = [{"name": name, **_accuracy(own)} for name, own in members.items()]
    return sorted(rows, key=key)


def _confusions(records: Iterable[Record]) -> list[Confusion]:
    """Count which speaker is taken for which, the most frequent first."""
    totals = Counter(record.speaker for record in records)
    pairs = Counter(
        (record.speaker, answer.predictions[0][0] if answer.predictions else None)
        for record in records
        if (answer := record.answers[CLEAN]).rank > 0
    )
    return [
        {"speaker": speaker, "answer": given, "clips": count, "of": totals[speaker]}
        for (speaker, given), count in sorted(
            pairs.items(), key=lambda item: (-item[1], item[0][0], item[0][1] or "")
        )
    ]


def _length(seconds: float) -> str:
    """Return the bin of a length: ``2 to 3 s`` is from 2 up to but not including 3."""
    index = int(np.searchsorted(_SECONDS, seconds, side="right"))
    if index == len(_SECONDS):
        return f"{_SECONDS[-1]} s and more"
    return f"{_SECONDS[index - 1]} to {_SECONDS[index]} s"


def _windows(record: Record) -> str:
    count = record.answers[CLEAN].windows
    return str(count) if count < _MOST_WINDOWS else f"{_MOST_WINDOWS} and more"


def _group(of: dict[str, str]) -> Callable[[Record], str]:
    return lambda record: of.get(speaker_name(record.speaker), _UNSTATED)


def _binned(of: dict[str, str]) -> dict[str, str]:
    """Replace numbers by their quartile, such as ``6 to 11``; empty if they are not all numbers."""
    try:
        numbers = {speaker: float(value) for speaker, value in of.items()}
    except ValueError:
        return {}
    edges = np.unique(np.quantile(list(numbers.values()), [0.25, 0.5, 0.75]))
    members: defaultdict[int, list[float]] = defaultdict(list)
    bins = {speaker: int(np.searchsorted(edges, value)) for speaker, value in numbers.items()}
    for speaker, index in bins.items():
        members[index].append(numbers[speaker])
    names = {index: f"{min(own):g} to {max(own):g}" for index, own in members.items()}
    return {speaker: names[index] for speaker, index in bins.items()}


def _natural(row: GroupAccuracy) -> tuple[bool, float, str]:
    """Sort names that begin with a number by that number, and the others after them."""
    first = row["name"].split()[0] if row["name"].split() else ""
    try:
        return False, float(first), row["name"]
    except ValueError:
        return True, 0.0, row["name"]


def _worst_first(row: GroupAccuracy) -> tuple[float, float, str]:
    return row["top1"]["value"], row["top5"]["value"], row["name"]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
