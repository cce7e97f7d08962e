"""Evaluations side by side, clip by clip: is it a difference, or chance?

The clips that all have answered are compared, and they alone. A contestant may be several
evaluations (seeds of one recipe): the mean of its members, clip by clip. Intervals are 95 %, by a
bootstrap over speakers of the paired differences; a difference is called one where its interval
leaves out zero. Seeds are not resampled: intervals are about other speakers, not other trainings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxedge.errors import CorpusError, UsageError
from voxedge.evaluation.answers import FILE, Evaluation, Record, folder_of
from voxedge.evaluation.measures import confidences_of
from voxedge.metrics import bootstrap, calibration_error


@dataclass(frozen=True)
class Contestant:
    """One side of a comparison."""

    name: str
    members: tuple[Evaluation, ...]


def read_contestant(words: str) -> Contestant:
    """``[NAME=]PLACE[,PLACE...]``: runs or folders of them, model files, or evaluations.

    Raises:
        CorpusError: there is no evaluation, or it is damaged.
        UsageError: no place is named.
    """
    name, equals, places = words.rpartition("=")
    if equals and Path(words).exists():  # a path with = in it
        name, places = "", words
    members = [place for place in places.split(",") if place]
    if not members:
        raise UsageError(f"{words!r} names no run")
    found = [_find(Path(member)) for member in members]
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    shown = name or _run_name(found[0]) + more
    return Contestant(shown, tuple(Evaluation.read(path) for path in found))


def compare(contestants: Sequence[Contestant]) -> dict[str, Any]:
    """Every contestant's figures, and its differences to the first, per condition.

    Raises:
        CorpusError: they have no clip or no condition in common.
        UsageError: fewer than two.
    """
    if len(contestants) < 2:
        raise UsageError("two are needed to compare", "voxedge compare RUN RUN")
    every = [member for contestant in contestants for member in contestant.members]
    tables = [{(r.speaker, r.digest): r for r in evaluation.known} for evaluation in every]
    clips = sorted(set.intersection(*(set(table) for table in tables)))
    if not clips:
        raise CorpusError("they have no clip in common", "evaluate them on the same clips")
    conditions = [n for n in every[0].conditions if all(n in e.conditions for e in every)]
    records = {id(e): [t[clip] for clip in clips] for e, t in zip(every, tables, strict=True)}
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


def markdown(result: dict[str, Any]) -> str:
    """The comparison as a Markdown table: top-1 in percent, and the difference to the first.

    Whatever there are more of, contestants or conditions, has the rows.
    """
    names = [contestant["name"].replace("|", "\\|") for contestant in result["contestants"]]
    conditions = list(result["conditions"])
    cells = [list(map(_cell, rows)) for rows in result["conditions"].values()]
    if len(names) > len(conditions):
        names, conditions = conditions, names
        cells = [list(row) for row in zip(*cells, strict=True)]
    lines = [f"| top-1 % | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for condition, row in zip(conditions, cells, strict=True):
        lines.append(f"| {condition} | {' | '.join(row)} |")
    return "\n".join(lines)


def verdict(difference: dict[str, Any]) -> str:
    """``+1.2 [+0.4, +2.0] better``, in points of a percent."""
    shown = ", ".join(f"{100 * difference[end]:+.1f}" for end in ("low", "high"))
    return f"{100 * difference['value']:+.1f} [{shown}] {difference['verdict']}"


def _cell(row: dict[str, Any]) -> str:
    top1 = row["top1"]
    text = f"{100 * top1['value']:.1f} [{100 * top1['low']:.1f}, {100 * top1['high']:.1f}]"
    return f"{text}; {verdict(row['difference']['top1'])}" if "difference" in row else text


def _rows(
    contestants: list[list[list[Record]]], speakers: list[str], name: str
) -> list[dict[str, Any]]:
    hits = {
        k: [_hits(members, name, k) for members in contestants]  # [C] each, means over the members
        for k in (1, 5)
    }
    rows: list[dict[str, Any]] = []
    for place, members in enumerate(contestants):
        row: dict[str, Any] = {
            "top1": bootstrap(hits[1][place], speakers)._asdict(),
            "top5": bootstrap(hits[5][place], speakers)._asdict(),
            "calibration_error": float(
                np.mean([calibration_error(*confidences_of(own, name)) for own in members])
            ),
        }
        if len(members) > 1:
            row["members_top1"] = [float(_hits([own], name, 1).mean()) for own in members]
        if place:
            row["difference"] = {
                f"top{k}": _difference(own[place] - own[0], speakers) for k, own in hits.items()
            }
            errors, first = 1 - hits[1][place].mean(), 1 - hits[1][0].mean()
            row["errors_ratio"] = float(errors / first) if first > 0 else None
        rows.append(row)
    return rows


def _hits(members: list[list[Record]], name: str, k: int) -> npt.NDArray[np.float64]:
    hits = np.array([[record.answers[name].rank < k for record in own] for own in members])
    means: npt.NDArray[np.float64] = hits.mean(axis=0)
    return means


def _difference(paired: npt.NDArray[np.float64], speakers: list[str]) -> dict[str, Any]:
    interval = bootstrap(paired, speakers)
    called = "better" if interval.low > 0 else "worse" if interval.high < 0 else "no difference"
    return interval._asdict() | {"verdict": called}


def _find(place: Path) -> Path:
    if place.suffix == ".json" and place.is_file():
        return place
    for candidate in (place / FILE, folder_of(place) / FILE, folder_of(place / "latest") / FILE):
        if candidate.is_file():
            return candidate
    how = f"{'--model ' if place.is_file() else ''}{place}"
    raise CorpusError(f"{place} holds no evaluation", f"make one with: voxedge evaluate {how}")


def _run_name(path: Path) -> str:
    """The run or the model file that ``folder_of`` was asked for, else the folder, or the file."""
    if path.name != FILE:
        return path.stem
    folder = path.resolve().parent
    own, found, _ = folder.name.partition("evaluation")
    return own.removesuffix("-") or folder.parent.name if found else folder.name
