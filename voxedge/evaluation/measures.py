"""The figures that follow from a model's answers. Rates are fractions; intervals are 95 %."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voxedge.errors import CorpusError
from voxedge.evaluation.answers import Evaluation, Record
from voxedge.evaluation.conditions import CLEAN, CONDITIONS
from voxedge.metrics import bootstrap, calibration_error, reliability

_SECONDS = (0, 1, 2, 3, 5, 10, 20)  # where bins of clip length begin
_MOST_WINDOWS = 6  # and more
_MANY = 12  # values of a column beyond which numbers are put into bins, and words are left out
_UNSTATED = "not stated"

Groups = dict[str, dict[str, str]]  # column -> speaker -> group


def measure(evaluation: Evaluation, groups: Groups | None = None) -> dict[str, Any]:
    """Every figure, as plain values for JSON.

    ``conditions`` holds a row each; the rest is of the clips as they are.

    Raises:
        CorpusError: the model knows none of the speakers.
    """
    known, strangers = evaluation.known, evaluation.strangers
    if not known:
        raise CorpusError(
            f"the model knows none of the {len({r.speaker for r in strangers})} speakers",
            "are the folders named as the model's labels are? voxedge inspect shows them",
        )
    return {
        "clips": len(known),
        "speakers": len({record.speaker for record in known}),
        "conditions": {
            name: {"what": _what(name)} | _of_condition(known, name)
            for name in evaluation.conditions
        },
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
            "clips": len(strangers),
            "speakers": len({record.speaker for record in strangers}),
            "mean_probability": _mean([r.answers[CLEAN].probability for r in strangers]),
        },
        "problems": len(evaluation.problems),
    }


def read_groups(path: Path) -> Groups:
    """Speakers' groups from a CSV with a column ``speaker``: every other column that divides them.

    Numbers of many values are put into four bins of about as many speakers; words of many values
    (names, notes) are left out.

    Raises:
        CorpusError: no such file, or no such column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            rows = list(csv.DictReader(file))
    except (OSError, csv.Error) as error:
        raise CorpusError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from None
    if not rows or "speaker" not in rows[0]:
        raise CorpusError(f"{path}: the first line must name a column speaker")
    found: Groups = {}
    for column in rows[0]:
        of = {row["speaker"]: row[column] for row in rows if row["speaker"] and row[column]}
        if column != "speaker" and len(set(of.values())) > _MANY:
            of = _binned(of)
        if column != "speaker" and len(set(of.values())) > 1:
            found[column] = of
    return found


def _of_condition(records: Sequence[Record], name: str) -> dict[str, Any]:
    confidences, correct = confidences_of(records, name)
    return _accuracy(records, name) | {
        "calibration_error": calibration_error(confidences, correct),
        "reliability": [row._asdict() for row in reliability(confidences, correct)],
    }


def confidences_of(records: Sequence[Record], name: str) -> tuple[Any, Any]:
    """Probability of the best guess [N], and whether it is right [N]."""
    answers = [record.answers[name] for record in records]
    return np.array([a.probability for a in answers]), np.array([a.rank == 0 for a in answers])


def _accuracy(records: Sequence[Record], name: str = CLEAN) -> dict[str, Any]:
    """Clusters are speakers; of a single speaker, clips."""
    speakers = [record.speaker for record in records]
    clusters = speakers if len(set(speakers)) > 1 else None
    ranks = np.array([record.answers[name].rank for record in records])
    return {
        "clips": len(records),
        "top1": bootstrap(ranks < 1, clusters)._asdict(),
        "top5": bootstrap(ranks < 5, clusters)._asdict(),
    }


def _by(
    records: Iterable[Record], group: Callable[[Record], str], key: Callable[[Any], Any]
) -> list[dict[str, Any]]:
    members: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        members[group(record)].append(record)
    rows = [{"name": name} | _accuracy(own) for name, own in members.items()]
    return sorted(rows, key=key)


def _confusions(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Which speaker is taken for which, the most frequent first."""
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


def _what(name: str) -> str:
    return "the clips as they are" if name == CLEAN else CONDITIONS[name].what


def _length(seconds: float) -> str:
    """``2 to 3 s``, from 2 up to but not including 3."""
    index = int(np.searchsorted(_SECONDS, seconds, side="right"))
    if index == len(_SECONDS):
        return f"{_SECONDS[-1]} s and more"
    return f"{_SECONDS[index - 1]} to {_SECONDS[index]} s"


def _windows(record: Record) -> str:
    count = record.answers[CLEAN].windows
    return str(count) if count < _MOST_WINDOWS else f"{_MOST_WINDOWS} and more"


def _group(of: dict[str, str]) -> Callable[[Record], str]:
    return lambda record: of.get(record.speaker, _UNSTATED)


def _binned(of: dict[str, str]) -> dict[str, str]:
    """Numbers -> ``6 to 11``, by quartiles; nothing where they are not numbers."""
    try:
        numbers = {speaker: float(value) for speaker, value in of.items()}
    except ValueError:
        return {}
    edges = np.unique(np.quantile(list(numbers.values()), [0.25, 0.5, 0.75]))
    members: defaultdict[int, list[float]] = defaultdict(list)
    index = {speaker: int(np.searchsorted(edges, value)) for speaker, value in numbers.items()}
    for speaker, place in index.items():
        members[place].append(numbers[speaker])
    names = {place: f"{min(own):g} to {max(own):g}" for place, own in members.items()}
    return {speaker: names[place] for speaker, place in index.items()}


def _natural(row: dict[str, Any]) -> tuple[bool, float, str]:
    """Names that begin with a number by the number, others after them by the alphabet."""
    first = row["name"].split()[0] if row["name"].split() else ""
    try:
        return False, float(first), row["name"]
    except ValueError:
        return True, 0.0, row["name"]


def _worst_first(row: dict[str, Any]) -> tuple[float, float, str]:
    return row["top1"]["value"], row["top5"]["value"], row["name"]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
