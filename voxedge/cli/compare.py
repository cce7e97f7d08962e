"""``voxedge compare``: evaluations side by side."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from voxedge.cli import console, options
from voxedge.errors import UsageError
from voxedge.evaluation.compare import Comparison, markdown, read_contestant, verdict
from voxedge.evaluation.compare import compare as compare_evaluations
from voxedge.metrics import Interval

app = options.command_app()


@app.command()
def compare(
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Runs, or evaluation.json files; A,B,C is the mean of three; NAME=RUN names it.",
        ),
    ],
    as_json: options.Json = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="A table for a document.")
    ] = False,
) -> None:
    """Show evaluated runs side by side, with paired intervals of each against the first."""
    if as_json and as_markdown:
        raise UsageError("--json or --markdown, not both")
    result = compare_evaluations([read_contestant(words) for words in places])
    if result["left_out"]:
        console.warn(f"{result['left_out']} clips are not in all of them, and left out")
    if as_json:
        console.answer(json.dumps(result))
    elif as_markdown:
        console.answer(markdown(result))
    else:
        _show(result)


def _show(result: Comparison) -> None:
    names = [contestant["name"] for contestant in result["contestants"]]
    console.answer(f"{result['clips']} clips of {result['speakers']} speakers; 95 % intervals")
    for condition, rows in result["conditions"].items():
        console.show_table(
            condition,
            ["", "top-1", "top-5", "ECE", "top-1 against the first", "errors"],
            [
                [
                    name,
                    Interval(**row["top1"]).percent(),
                    Interval(**row["top5"]).percent(),
                    f"{100 * row['calibration_error']:.1f} %",
                    verdict(row["difference"]["top1"]) if "difference" in row else "",
                    f"x {ratio:.2f}" if (ratio := row.get("errors_ratio")) is not None else "",
                ]
                for name, row in zip(names, rows, strict=True)
            ],
        )
