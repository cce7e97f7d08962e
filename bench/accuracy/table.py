"""The table of docs/experiments.md: every row on the same split, clean and degraded.

Each row is a folder in OUT. A finished run is not repeated and a stopped one goes on, so that the
table can grow over several days.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from bench.accuracy.rivals import METHODS
from voxedge.cli.console import say
from voxedge.evaluation.answers import FILE, folder_of

#: Rows by name: arguments of ``voxedge train`` in addition to the data and the seed.
ROWS = {
    "seed-baseline": ("--recipe", "seed-baseline", "--init", "random"),
    "seed-ccl-adagrad": ("--recipe", "seed-ccl-adagrad", "--init", "random"),
    "seed-ccl-adam": ("--recipe", "seed-ccl-adam", "--init", "random"),
    "default": (),
    "default-cross-entropy": ("--loss", "cross-entropy"),
}
RIVALS = "rivals"
_OURS = "default"  # rows of this prefix are trained with recorded noises and rooms, the seed's not


def make(
    data: Path,
    noise: Path,
    rooms: Path,
    out: Path,
    rows: Sequence[str],
    seeds: Sequence[int],
    speakers: int = 0,
) -> None:
    """Train and evaluate every row with every seed, then compare them.

    Args:
        data: the corpus; every row has its split.
        noise: folder of noises.
        rooms: folder of impulse responses.
        out: folder of the rows.
        rows: keys of ``ROWS``.
        seeds: of the weights and the order.
        speakers: only the first so many; 0 for all.

    Raises:
        typer.Exit: a command failed; what was finished stays.
    """
    environment = ("--noise", str(noise), "--rooms", str(rooms))
    recorded = settings({"augment.noise_folder": noise, "augment.rooms_folder": rooms})
    subset = settings({"data.speakers": speakers})
    variants = {
        row: (*ROWS[row], *subset, *(recorded if row.startswith(_OURS) else ())) for row in rows
    }
    runs = train_all(data, variants, seeds, out, environment)
    for rival in METHODS:
        if not (out / RIVALS / rival / FILE).is_file():
            run = out / f"{rows[0]}-{seeds[0]}"
            command = ["rivals", "--run", str(run), "--out", str(out / RIVALS), "--only", rival]
            _run(sys.executable, "-m", "bench.accuracy", *command, *environment)
    rivals = [str(out / RIVALS / rival) for rival in METHODS if (out / RIVALS / rival).is_dir()]
    print_comparison(runs, *rivals, "--markdown")


def train_all(
    data: Path,
    variants: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
    out: Path,
    evaluate: Sequence[str],
) -> dict[str, list[Path]]:
    """Train and evaluate every variant with every seed.

    Args:
        data: a corpus, or a manifest of it.
        variants: name -> arguments of ``voxedge train``.
        seeds: of the weights and the order; the split is the same for all.
        out: gets a folder for each.
        evaluate: arguments of ``voxedge evaluate``.

    Returns:
        The runs of each variant.

    Raises:
        typer.Exit: a command failed; what was finished stays.
    """
    for seed in seeds:
        for name, flags in variants.items():
            train = (str(data), *flags, "--seed", str(seed))
            train_and_evaluate(out / f"{name}-{seed}", train, evaluate)
    return {name: [out / f"{name}-{seed}" / "latest" for seed in seeds] for name in variants}


def print_comparison(runs: Mapping[str, Sequence[Path]], *others: str) -> None:
    """Print what ``voxedge compare`` says of the means over seeds, if there is more than one row.

    Args:
        runs: the runs of each variant.
        others: further evaluations, and flags.
    """
    named = [f"{name}=" + ",".join(map(str, own)) for name, own in runs.items()]
    if len([*named, *(word for word in others if not word.startswith("--"))]) > 1:
        voxedge("compare", *named, *others)


def settings(values: Mapping[str, object]) -> list[str]:
    """Changes of a recipe as arguments of the command line."""
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def train_and_evaluate(folder: Path, train: Sequence[str], evaluate: Sequence[str]) -> None:
    """Train and evaluate one run, unless it is finished; one that was stopped goes on.

    Args:
        folder: of this run alone.
        train: arguments of ``voxedge train``, without the folder.
        evaluate: arguments of ``voxedge evaluate``, without the folder.

    Raises:
        typer.Exit: a command failed.
    """
    if (folder_of(folder / "latest") / FILE).is_file():
        return
    if (folder / "latest" / "last.safetensors").is_file():
        voxedge("train", "--resume", str(folder))
    else:
        voxedge("train", *train, "--runs", str(folder))
    voxedge("evaluate", str(folder), *evaluate)


def voxedge(*arguments: str) -> None:
    """Run the command line, as users have it.

    Raises:
        typer.Exit: it failed and has reported why; the exit code is passed on.
    """
    _run(sys.executable, "-m", "voxedge", *arguments)


def _run(*command: str) -> None:
    say(" ".join(command[1:]))
    if status := subprocess.run(command, check=False).returncode:
        raise typer.Exit(status)
