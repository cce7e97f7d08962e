"""``python -m bench.accuracy``: who names speakers best, trained and judged on the same clips.

``rivals`` trains the rivals on a run's clips and judges them on its others: a folder each in OUT
with an evaluation.json, which ``voxedge compare`` reads. ``table`` makes all rows of the table,
``few`` those of little data, ``centers`` those of the contrastive-center loss, ``ablation`` those
of the default recipe without one of its parts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.accuracy import ablation, centers, few, rivals, table
from bench.prepare import shared_data
from voxedge.cli.console import Progress, answer, complain, say, warn
from voxedge.cli.evaluate import show_conditions
from voxedge.data import sounds
from voxedge.data.corpus import load_corpus
from voxedge.data.manifest import Clip, read_manifest
from voxedge.errors import CorpusError, MissingExtra, VoxedgeError
from voxedge.evaluation.answers import FILE, ask
from voxedge.evaluation.conditions import Environment, choose_conditions
from voxedge.evaluation.measures import measure
from voxedge.threads import available_processors
from voxedge.train.prepare import split_for
from voxedge.train.recipe import DataRecipe, Recipe
from voxedge.train.run import find_run

DATA = shared_data()


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, judge, tell; the exit code of docs/design.md."""
    options = _options(arguments)
    try:
        if options.command == "table":
            folders = options.data, options.noise, options.rooms, options.out
            table.make(*folders, options.rows, options.seeds, options.speakers)
            return 0
        if options.command == "few":
            few.make(options.data, options.init, options.out, options.seeds)
            return 0
        if options.command == "centers":
            folders = options.data, options.noise, options.unseen, options.out
            centers.make(*folders, options.rows, options.seeds)
            return 0
        if options.command == "ablation":
            folders = options.data, options.noise, options.rooms, options.out
            ablation.make(*folders, options.rows, options.seeds)
            return 0
        return _rivals(options)
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    except VoxedgeError as error:
        complain(error)
        return error.exit_code


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("rivals", help="a linear discriminant, and Resemblyzer")
    one.add_argument("--run", type=Path, help="take the clips and the split of this run")
    one.add_argument("--data", type=Path, help="without a run: the corpus; with one: if it moved")
    one.add_argument("--seed", type=int, default=0, help="of the split, without a run (default: 0)")
    one.add_argument("--out", type=Path, required=True, help="folder to write to")
    one.add_argument("--split", choices=("validation", "test"), default="test")
    one.add_argument("--stress", default="all", help="all, none, or names with commas")
    one.add_argument("--noise", type=Path, default=DATA / "noise", help="folder of noises")
    one.add_argument("--rooms", type=Path, default=DATA / "rir", help="folder of responses")
    one.add_argument("--only", choices=tuple(rivals.METHODS), help="one of them")
    whole = _trainings(commands, "table", "all rows, trained and judged", table.ROWS)
    without = _trainings(commands, "ablation", "the default without each part", ablation.VARIANTS)
    pull = _trainings(commands, "centers", "forms and weights of the center loss", centers.VARIANTS)
    little = _trainings(commands, "few", "few clips a speaker, from nothing and from a run")
    whole.add_argument("--speakers", type=int, default=0, help="the first so many; default: all")
    for command in (whole, without, pull):
        command.add_argument("--data", type=Path, default=DATA / "speechocean762" / "known")
        command.add_argument("--noise", type=Path, default=DATA / "noise", help="folder of noises")
    for command in (whole, without):
        command.add_argument("--rooms", type=Path, default=DATA / "rir", help="folder of responses")
    pull.add_argument("--unseen", type=Path, default=DATA / "speechocean762" / "unseen")
    little.add_argument("--data", type=Path, default=DATA / "arabic_commands")
    little.add_argument(
        "--init", type=Path, required=True, help="a run or model file to start from"
    )
    options = parser.parse_args(arguments)
    if options.command == "rivals" and not options.run and not options.data:
        parser.error("--run or --data is needed")
    return options


def _trainings(
    commands: Any,  # argparse does not name its type
    name: str,
    help_: str,
    rows: Iterable[str] = (),
) -> argparse.ArgumentParser:
    """A command that trains many networks, which goes on where it was stopped."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=f"{help_}; goes on if stopped"
    )
    command.add_argument("--out", type=Path, required=True, help="folder to write to")
    command.add_argument("--seeds", type=_seeds, default="0,1,2", help="default: 0,1,2")
    if known := tuple(rows):
        chosen = partial(_chosen, known)
        command.add_argument("--rows", type=chosen, default=",".join(known), help="default: all")
    return command


def _seeds(text: str) -> list[int]:
    if not all(seed.isdecimal() for seed in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text}: whole numbers, with commas")
    return [int(seed) for seed in text.split(",")]


def _chosen(known: Sequence[str], text: str) -> list[str]:
    rows = text.split(",")
    if unknown := set(rows) - set(known):
        raise argparse.ArgumentTypeError(
            f"no such rows: {', '.join(unknown)}; there are {', '.join(known)}"
        )
    return rows


def _rivals(options: argparse.Namespace) -> int:
    choose_conditions(options.stress, Environment())  # a mistyped name is said at once
    clips, subject = _clips(options)
    labels = tuple(sorted({clip.speaker for clip in clips}))
    sides = {side: [clip for clip in clips if clip.split == side] for side in _SIDES}
    say(", ".join(f"{len(own)} {side}" for side, own in sides.items()) + " clips")
    around = Environment()
    if options.stress != "none":
        around = _surroundings(options.noise, options.rooms)
    conditions, missing = choose_conditions(options.stress, around)
    if missing:
        warn(f"left out for want of noises or rooms: {', '.join(missing)}")
    measured: dict[str, Any] = {}
    for name in [options.only] if options.only else rivals.METHODS:
        try:
            with Progress(f"training {name}") as progress:
                rival = rivals.train(
                    name, labels, sides["train"], sides["validation"], progress.update
                )
        except MissingExtra as error:
            warn(f"{name} is left out: {error}")
            continue
        own = subject | {"model": name, "kind": "rival", "split": options.split}
        own |= {"train_seconds": rival.seconds, "clips_per_second": rival.clips_per_second}
        with Progress(f"judging {name}") as progress:
            evaluation = ask(
                rival,
                sides[options.split],
                conditions,
                around,
                subject=own,
                workers=available_processors(),
                progress=progress.update,
            )
        folder = options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        measured[name] = {"rival": rival, "figures": measure(evaluation)}
        evaluation.write(folder / FILE, measured[name]["figures"])
    if not measured:
        raise MissingExtra("no rival can be trained here")
    _show(measured)
    first = options.run or "RUN"
    say(f"next: voxedge compare {first} {' '.join(str(options.out / name) for name in measured)}")
    return 0


_SIDES = ("train", "validation", "test")


def _clips(options: argparse.Namespace) -> tuple[list[Clip], dict[str, Any]]:
    """Every clip with its side, and what they are of."""
    if options.run:
        run = find_run(options.run)
        return list(run.manifest(options.data).clips), {"data": run.folder.name}
    with Progress("decoding") as progress:
        corpus = load_corpus(
            read_manifest(options.data),
            rivals.RATE,
            min_clips=3,
            workers=available_processors(),
            progress=progress.update,
        )
    made = split_for(Recipe(data=DataRecipe(split_seed=options.seed)), corpus)
    clips = [replace(entry.clip, split=made.sides[entry.clip.name]) for entry in corpus.entries]
    return clips, {"data": f"{options.data}, seed {options.seed}"}


def _surroundings(noise: Path, rooms: Path) -> Environment:
    """The halves that no network is trained with, of what there is."""
    found: dict[str, Any] = {}
    for name, load, folder in (
        ("noises", sounds.load_noises, noise),
        ("rooms", sounds.load_rooms, rooms),
    ):
        try:
            found[name] = load(folder, rivals.RATE, "evaluation")
        except CorpusError as error:
            warn(str(error))
    return Environment(**found)


def _show(measured: dict[str, Any]) -> None:
    for name, own in measured.items():
        rival, figures = own["rival"], own["figures"]
        title = f"{name}: {figures['clips']} clips of {figures['speakers']} speakers"
        show_conditions(title, figures["conditions"])
        answer(f"  trained in {rival.seconds:.1f} s, {rival.clips_per_second:.1f} clips/s")


if __name__ == "__main__":
    sys.exit(main())
