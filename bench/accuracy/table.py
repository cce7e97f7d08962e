"""The table of docs/experiments.md: every contestant on the same split, clean and under stress.

Each row is a folder in OUT; what is finished is not done again, and a run that was stopped goes on,
so that the table can grow over several days.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.accuracy.rivals import METHODS
from voxedge.cli.console import say
from voxedge.evaluation.answers import FILE, folder_of

#: Rows by name: what ``voxedge train`` is told, beside the data and the seed.
ROWS = {
    "seed-baseline": ("--recipe", "seed-baseline", "--init", "random"),
    "seed-ccl-adagrad": ("--recipe", "seed-ccl-adagrad", "--init", "random"),
    "seed-ccl-adam": ("--recipe", "seed-ccl-adam", "--init", "random"),
    "default": (),
    "default-cross-entropy": ("--loss", "cross-entropy"),
}
RIVALS = "rivals"
_OURS = "default"  # rows that begin so hear recorded noises and rooms; the seed's hear none at all


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
        speakers: the first so many alone; 0 for all.

    Raises:
        subprocess.CalledProcessError: a command failed; what was finished stays.
    """
    around = ["--noise", str(noise), "--rooms", str(rooms)]
    heard = settings({"augment.noise_folder": noise, "augment.rooms_folder": rooms})
    alike = settings({"data.speakers": speakers})
    own = {row: (*ROWS[row], *alike, *(heard if row.startswith(_OURS) else ())) for row in rows}
    runs = train_all(data, own, seeds, out, around)
    for rival in METHODS:
        if not (out / RIVALS / rival / FILE).is_file():
            run = out / f"{rows[0]}-{seeds[0]}"
            command = ["rivals", "--run", str(run), "--out", str(out / RIVALS), "--only", rival]
            _run(sys.executable, "-m", "bench.accuracy", *command, *around)
    rivals = [str(out / RIVALS / rival) for rival in METHODS if (out / RIVALS / rival).is_dir()]
    compare(runs, *rivals, "--markdown")


def train_all(
    data: Path,
    variants: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
    out: Path,
    judged: Sequence[str],
) -> dict[str, list[Path]]:
    """Every variant with every seed, trained and evaluated; their runs, by variant.

    Args:
        data: a corpus, or a manifest of it.
        variants: what ``voxedge train`` is told, by name.
        seeds: of the weights and the order; the split is the same for all.
        out: gets a folder for each.
        judged: what ``voxedge evaluate`` is told.

    Raises:
        subprocess.CalledProcessError: a command failed; what was finished stays.
    """
    for seed in seeds:
        for name, flags in variants.items():
            own = (str(data), *flags, "--seed", str(seed))
            train_and_evaluate(out / f"{name}-{seed}", own, judged)
    return {name: [out / f"{name}-{seed}" / "latest" for seed in seeds] for name in variants}


def compare(runs: Mapping[str, Sequence[Path]], *others: str) -> None:
    """``voxedge compare`` of the means over seeds; what else it is told comes after them."""
    named = [f"{name}=" + ",".join(map(str, own)) for name, own in runs.items()]
    if len([*named, *(word for word in others if not word.startswith("--"))]) > 1:
        voxedge("compare", *named, *others)


def settings(values: Mapping[str, object]) -> list[str]:
    """What of a recipe is to be otherwise, as the command line takes it."""
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def train_and_evaluate(folder: Path, train: Sequence[str], evaluate: Sequence[str]) -> None:
    """One run in a folder of its own, unless it is finished; one that was stopped goes on.

    Args:
        folder: of that run.
        train: what ``voxedge train`` is told, beside the folder.
        evaluate: what ``voxedge evaluate`` is told then.

    Raises:
        subprocess.CalledProcessError: a command failed.
    """
    if (folder_of(folder / "latest") / FILE).is_file():
        return
    if (folder / "latest" / "last.safetensors").is_file():
        voxedge("train", "--resume", str(folder))
    else:
        voxedge("train", *train, "--runs", str(folder))
    voxedge("evaluate", str(folder), *evaluate)


def voxedge(*arguments: str) -> None:
    """The command line, as users have it.

    Raises:
        subprocess.CalledProcessError: it failed, and has said why.
    """
    _run(sys.executable, "-m", "voxedge", *arguments)


def _run(*command: str) -> None:
    say(" ".join(command[1:]))
    subprocess.run(command, check=True)
