"""``python -m bench.accuracy``: accuracy of several ways, trained and evaluated on the same clips.

``rivals`` trains the rivals on a run's clips and evaluates them on its others: a folder each in OUT
with an evaluation.json, which ``voxedge compare`` reads. ``table`` makes every row of the table of
docs/experiments.md, ``few`` those of little data, ``centers`` those of the contrastive-center loss,
``ablation`` those of the default recipe without one of its parts.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from bench import cli
from bench.accuracy import ablation, centers, few, table
from bench.accuracy.evaluate import Evaluated, evaluate_rivals, load_environment, read_clips
from bench.accuracy.rivals import METHODS, Name
from bench.prepare import shared_data
from voxedge.cli.console import answer, say, warn
from voxedge.cli.measures import show_conditions
from voxedge.errors import UsageError
from voxedge.evaluation.conditions import Environment, choose_conditions

_DATA = shared_data()
_KNOWN = _DATA / "speechocean762" / "known"
_UNSEEN = _DATA / "speechocean762" / "unseen"
_SEEDS = "0,1,2"

Out: TypeAlias = Annotated[
    Path, typer.Option(help="Folder to write to; one that was stopped goes on.")
]
Seeds: TypeAlias = Annotated[str, typer.Option(help="Of the weights and the order, with commas.")]
Rows: TypeAlias = Annotated[
    str | None, typer.Option(help="Names, with commas.", show_default="all")
]
Data: TypeAlias = Annotated[Path, typer.Option(help="Folder of speakers.")]
Noise: TypeAlias = Annotated[Path, typer.Option(help="Folder of noises.")]
Rooms: TypeAlias = Annotated[Path, typer.Option(help="Folder of room impulse responses.")]

app = cli.new_app("Accuracy of several ways, trained and evaluated on the same clips.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit code, that of a command of ``voxedge`` where one failed."""
    return cli.run(app, "python -m bench.accuracy", arguments)


@app.command("rivals")
def rivals_command(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    run: Annotated[
        Path | None, typer.Option(help="Use the clips and the split of this run.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Without --run: the corpus. With it: the corpus, if it moved."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split, without --run.")] = 0,
    split: Annotated[
        Literal["validation", "test"], typer.Option(help="Which side is evaluated.")
    ] = "test",
    stress: Annotated[
        str, typer.Option(help="Conditions: all, none, or names with commas.")
    ] = "all",
    noise: Noise = _DATA / "noise",
    rooms: Rooms = _DATA / "rir",
    only: Annotated[Name | None, typer.Option(help="Train this rival alone.")] = None,
) -> None:
    """Train a discriminant, Resemblyzer's and CAM++'s centroids, and evaluate them like a run."""
    choose_conditions(stress, Environment())  # a mistyped name is refused before clips are decoded
    if run is None and data is None:
        raise UsageError("--run or --data is needed")
    clips, source = read_clips(run, data, seed)
    environment = Environment() if stress == "none" else load_environment(noise, rooms)
    conditions, missing = choose_conditions(stress, environment)
    if missing:
        warn(f"left out for want of noises or rooms: {', '.join(missing)}")
    names = [only] if only else list(METHODS)
    evaluated = evaluate_rivals(names, clips, split, conditions, environment, source, out)
    for name, one in evaluated.items():
        _show(name, one)
    folders = " ".join(str(out / name) for name in evaluated)
    say(f"next: voxedge compare {run or 'RUN'} {folders}")


@app.command("table")
def table_command(
    out: Out,
    data: Data = _KNOWN,
    noise: Noise = _DATA / "noise",
    rooms: Rooms = _DATA / "rir",
    rows: Rows = None,
    seeds: Seeds = _SEEDS,
    speakers: Annotated[int, typer.Option(help="The first so many; 0 for all.")] = 0,
) -> None:
    """Train and evaluate every row of the table."""
    chosen = cli.choose("--rows", rows, table.ROWS)
    table.make(data, noise, rooms, out, chosen, _numbers(seeds), speakers)


@app.command("ablation")
def ablation_command(
    out: Out,
    data: Data = _KNOWN,
    noise: Noise = _DATA / "noise",
    rooms: Rooms = _DATA / "rir",
    rows: Rows = None,
    seeds: Seeds = _SEEDS,
) -> None:
    """Train and evaluate the default recipe without each of its parts."""
    chosen = cli.choose("--rows", rows, ablation.VARIANTS)
    ablation.make(data, noise, rooms, out, chosen, _numbers(seeds))


@app.command("centers")
def centers_command(
    out: Out,
    data: Data = _KNOWN,
    noise: Noise = _DATA / "noise",
    unseen: Annotated[Path, typer.Option(help="Folder of other speakers.")] = _UNSEEN,
    rows: Rows = None,
    seeds: Seeds = _SEEDS,
) -> None:
    """Train and evaluate forms and weights of the contrastive-center loss."""
    chosen = cli.choose("--rows", rows, centers.VARIANTS)
    centers.make(data, noise, unseen, out, chosen, _numbers(seeds))


@app.command("few")
def few_command(
    out: Out,
    init: Annotated[Path, typer.Option(help="A run or model file to start from.")],
    data: Data = _DATA / "arabic_commands",
    seeds: Seeds = _SEEDS,
) -> None:
    """Train and evaluate on few clips of each speaker, from random weights and from a run."""
    few.make(data, init, out, _numbers(seeds))


def _numbers(seeds: str) -> list[int]:
    numbers = seeds.split(",")
    if not all(number.isdecimal() for number in numbers):
        raise UsageError(f"--seeds: whole numbers with commas, not {seeds}")
    return [int(number) for number in numbers]


def _show(name: str, one: Evaluated) -> None:
    title = f"{name}: {one.metrics['clips']} clips of {one.metrics['speakers']} speakers"
    show_conditions(title, one.metrics["conditions"])
    rival = one.rival
    answer(f"  trained in {rival.seconds:.1f} s, {rival.clips_per_second:.1f} clips/s")


if __name__ == "__main__":
    sys.exit(main())
