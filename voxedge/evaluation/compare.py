"""Compare evaluations clip by clip, and test whether their differences are significant.

Only clips that all evaluations share are compared. A contestant may consist of several evaluations
(seeds of one recipe): their results are averaged for each clip. Intervals are 95 %, by a bootstrap
over speakers of the paired differences; a difference is significant if its interval excludes zero.
Seeds are not resampled, so the intervals reflect the choice of speakers, not that of the seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from voxedge.errors import CorpusError, UsageError
from voxedge.evaluation.answers import FILE, Evaluation, Record, folder_of
from voxedge.evaluation.measures import confidences_of
from voxedge.metrics import IntervalDict, bootstrap, calibration_error


@dataclass(frozen=True)
class Contestant:
    """One model of a comparison: an evaluation, or several to average."""

    name: str
    members: tuple[Evaluation, ...]


class ContestantSummary(TypedDict):
    """A contestant's name and number of evaluations."""

    name: str
    members: int


class Difference(IntervalDict):
    """A difference to the first contestant, with its interval."""

    verdict: str  # "better", "worse" or "no difference"


class Differences(TypedDict):
    """The differences to the first contestant."""

    top1: Difference
    top5: Difference


class _Row(TypedDict):
    top1: IntervalDict
    top5: IntervalDict
    calibration_error: float  # mean over the members


class ComparisonRow(_Row, total=False):
    """The metrics of a contestant under one condition."""

    members_top1: list[float]  # if there are several members
    difference: Differences  # unless it is the first contestant
    errors_ratio: float | None  # to the errors of the first contestant; None if it has none


class Comparison(TypedDict):
    """All metrics of all contestants."""

    clips: int
    speakers: int
    left_out: int  # clips that not all evaluations have
    contestants: list[ContestantSummary]
    conditions: dict[str, list[ComparisonRow]]  # condition -> a row for each contestant


def read_contestant(text: str) -> Contestant:
    """Read the evaluations of ``[NAME=]PLACE[,PLACE...]``.

    Args:
        text: a place is a run, a folder of runs, a model file or an evaluation.

    Raises:
        CorpusError: there is no evaluation, or it is damaged.
        UsageError: no place is named.
    """
    name, equals, places = text.rpartition("=")
    if equals and Path(text).exists():  # a path that contains =
        name, places = "", text
    members = [place for place in places.split(",") if place]
    if not members:
        raise UsageError(f"{text!r} names no run")
    found = [_find(Path(member)) for member in members]
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    shown = name or _run_name(found[0]) + more
    return Contestant(shown, tuple(Evaluation.read(path) for path in found))


def compare(contestants: Sequence[Contestant]) -> Comparison:
    """Compute the metrics of every contestant and its differences to the first one.

    Raises:
        CorpusError: they have no clip in common.
        UsageError: there are fewer than two.
    """
    if len(contestants) < 2:
        raise UsageError("two are needed to compare", "voxedge compare RUN RUN")
    evaluations = [member for contestant in contestants for member in contestant.members]
    tables = [{(r.speaker, r.digest): r for r in evaluation.known} for evaluation in evaluations]
    clips = sorted(set.intersection(*(set(table) for table in tables)))
    if not clips:
        raise CorpusError("they have no clip in common", "evaluate them on the same clips")
    shared = set.intersection(*(set(evaluation.conditions) for evaluation in evaluations))
    conditions = [name for name in evaluations[0].conditions if name in shared]
    records = {
        id(evaluation): [table[clip] for clip in clips]
        for evaluation, table in zip(evaluations, tables, strict=True)
    }
    speakers = [speaker for speaker, _ in clips]
    return {
        "clips": len(clips),
        "speakers": len(set(speakers)),
        "left_out": max(len(table) for table in tables) - len(clips),
        "contestants": [{"name": c.name, "members": len(c.members)} for c in contestants],
        "conditions": {
            name: _rows([[records[id(m)] for m in c.members] for c in contestants], speakers, name)
            for name in conditions
        },
    }


def markdown(comparison: Comparison) -> str:
    """Format a comparison as a Markdown table: top-1 in percent and the difference to the first.

    The rows are the conditions, or the contestants if there are more of them.
    """
    columns = [summary["name"].replace("|", "\\|") for summary in comparison["contestants"]]
    rows = list(comparison["conditions"])
    cells = [[_cell(row) for row in own] for own in comparison["conditions"].values()]
    if len(columns) > len(rows):
        columns, rows = rows, columns
        cells = [list(row) for row in zip(*cells, strict=True)]
    lines = [f"| top-1 % | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, row in zip(rows, cells, strict=True):
        lines.append(f"| {name} | {' | '.join(row)} |")
    return "\n".join(lines)


def verdict(difference: Difference) -> str:
    """Format a difference in percentage points: ``+1.2 [+0.4, +2.0] better``."""
    value, low, high = difference["value"], difference["low"], difference["high"]
    return f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}] {difference['verdict']}"


def _cell(row: ComparisonRow) -> str:
    top1 = row["top1"]
    text = f"{100 * top1['value']:.1f} [{100 * top1['low']:.1f}, {100 * top1['high']:.1f}]"
    return f"{text}; {verdict(row['difference']['top1'])}" if "difference" in row else text


def _rows(
    contestants: list[list[list[Record]]], speakers: list[str], name: str
) -> list[ComparisonRow]:
    """Compute a row for each contestant; its members have the same clips in the same order."""
    top1 = [_hits(members, name, 1) for members in contestants]
    top5 = [_hits(members, name, 5) for members in contestants]
    rows: list[ComparisonRow] = []
    for place, members in enumerate(contestants):
        errors = [calibration_error(*confidences_of(own, name)) for own in members]
        row: ComparisonRow = {
            "top1": bootstrap(top1[place], speakers).as_dict(),
            "top5": bootstrap(top5[place], speakers).as_dict(),
            "calibration_error": float(np.mean(errors)),
        }
        if len(members) > 1:
            row["members_top1"] = [float(_hits([own], name, 1).mean()) for own in members]
        if place:
            row["difference"] = {
                "top1": _difference(top1[place] - top1[0], speakers),
                "top5": _difference(top5[place] - top5[0], speakers),
            }
            own_errors, first_errors = 1 - top1[place].mean(), 1 - top1[0].mean()
            row["errors_ratio"] = float(own_errors / first_errors) if first_errors > 0 else None
        rows.append(row)
    return rows


def _hits(members: list[list[Record]], name: str, k: int) -> npt.NDArray[np.float64]:
    """Return how often each of C clips is a top-k hit, averaged over the members; [C]."""
    hits = np.array([[record.answers[name].rank < k for record in own] for own in members])
    means: npt.NDArray[np.float64] = hits.mean(axis=0)
    return means


def _difference(paired: npt.NDArray[np.float64], speakers: list[str]) -> Difference:
    interval = bootstrap(paired, speakers)
    called = "better" if interval.low > 0 else "worse" if interval.high < 0 else "no difference"
    return {**interval.as_dict(), "verdict": called}


def _find(place: Path) -> Path:
    if place.suffix == ".json" and place.is_file():
        return place
    for candidate in (place / FILE, folder_of(place) / FILE, folder_of(place / "latest") / FILE):
        if candidate.is_file():
            return candidate
    how = f"{'--model ' if place.is_file() else ''}{place}"
    raise CorpusError(f"{place} holds no evaluation", f"make one with: voxedge evaluate {how}")


def _run_name(path: Path) -> str:
    """Return the name of the run or model file of an evaluation, or else of its folder or file."""
    if path.name != FILE:
        return path.stem
    folder = path.resolve().parent
    own, found, _ = folder.name.partition("evaluation")
    return own.removesuffix("-") or folder.parent.name if found else folder.name
