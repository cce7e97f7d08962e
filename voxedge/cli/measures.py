"""What people see of an evaluation: tables, on a terminal and in a pipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from voxedge.cli import console, options
from voxedge.evaluation.answers import Subject
from voxedge.evaluation.conditions import CLEAN
from voxedge.evaluation.measures import ConditionAccuracy, GroupAccuracy, Measures
from voxedge.evaluation.open_set import OpenSetMeasures, Rates
from voxedge.metrics import Interval

_SHOWN = 10
#: Conditions of strangers that are shown: the page has all.
_MAIN = (CLEAN, "noise10", "room", "telephone", "cut3", "cut2", "cut1")


def show(subject: Subject, measures: Measures) -> None:
    """The figures of an evaluation that people look at first."""
    split = f", {subject['split']} split" if subject["split"] else ""
    title = f"{subject['model']} on {subject['data']}{split}: {measures['clips']} clips of"
    show_conditions(f"{title} {measures['speakers']} speakers", measures["conditions"])
    for column, rows in measures["groups"].items():
        _show_groups(f"by {column}", rows)
    _show_groups("by length", measures["by_seconds"])
    if found := measures.get("verification"):
        console.answer(
            f"  unseen speakers: EER {Interval(**found['eer']).percent()}, minDCF"
            f" {found['min_dcf']['value']:.3f} ({found['speakers']}, {found['pairs']} pairs)"
        )
        for shots, row in found["shots"].items():
            clips = "a clip" if shots == "1" else f"{shots} clips"
            console.answer(f"  named after {clips} of each: {Interval(**row).percent()}")
    if strangers := measures.get("open_set"):
        _show_strangers(strangers)
    worst = [row for row in measures["confusions"] if row["answer"]][:_SHOWN]
    if worst:
        console.show_table(
            "most often taken for another",
            ["", "for", "clips", "of"],
            [[row["speaker"], row["answer"], row["clips"], row["of"]] for row in worst],
        )
    unknown = measures["strangers"]
    if unknown["mean_probability"] is not None:
        console.warn(
            f"{unknown['clips']} clips of {unknown['speakers']} speakers that the model does"
            " not know are not in these figures; it gave them a name at"
            f" {100 * unknown['mean_probability']:.0f} % on average"
        )


def show_conditions(title: str, conditions: Mapping[str, ConditionAccuracy]) -> None:
    """How often a model is right, clean and under each condition, as ``measure`` gives it."""
    console.show_table(
        title,
        ["", "top-1, 95 % interval", "top-5, 95 % interval", "calibration error"],
        [
            [
                name,
                Interval(**row["top1"]).percent(),
                Interval(**row["top5"]).percent(),
                f"{100 * row['calibration_error']:.1f} %",
            ]
            for name, row in conditions.items()
        ],
    )


def _show_strangers(found: OpenSetMeasures) -> None:
    """How strangers fare at 5 %, or as many as there is a threshold for."""
    share = f"{options.DEFAULT_SHARE:g}"
    conditions = found["conditions"]
    by_file = bool(conditions[CLEAN]["by_file"])

    def cell(rates: Rates | None, figure: Literal["dir", "far"]) -> str:
        return Interval(**rates[figure]).percent() if rates else "too few clips"

    own = ["DIR by the file", "FAR by the file"] if by_file else []
    rows = []
    for name in _MAIN if len(conditions) > len(_MAIN) else conditions:
        if row := conditions.get(name):
            rates = row["by_file"].get(share)
            stated = [cell(rates, "dir"), cell(rates, "far")] if by_file else []
            area = f"{row['oscr_area']['value']:.3f}"
            rows.append([name, *stated, cell(row["by_unseen"][share], "dir"), area])
    console.show_table(
        f"{found['unseen_clips']} clips of {found['unseen_speakers']} strangers, 5 % of whom may be"
        " named",
        ["", *own, "DIR at that FAR", "OSCR area"],
        rows,
    )


def _show_groups(title: str, rows: Sequence[GroupAccuracy]) -> None:
    console.show_table(
        title,
        ["", "clips", "top-1, 95 % interval"],
        [[row["name"], row["clips"], Interval(**row["top1"]).percent()] for row in rows],
    )
