"""Little data, as users have it: ten speakers with six clips each, five with a minute each.

Each is trained from random weights and from a run or model file (``--init``), with every seed, and
evaluated on clips of the same speakers that neither was trained on. A folder each in OUT; a
finished run is not repeated, and a stopped one goes on.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

from bench.accuracy.table import print_comparison, train_all

#: Speakers, and training, validation and test clips of each.
SIZES = {"10x6": (10, 5, 1, 40), "5x60s": (5, 48, 12, 40)}


def make(data: Path, init: Path, out: Path, seeds: Sequence[int]) -> None:
    """Train and evaluate all, then compare them.

    Args:
        data: folder of speakers with 100 clips of a second each.
        init: the run or the model file to start from.
        out: folder to write to.
        seeds: of the weights and the order; the clips are the same for all.

    Raises:
        typer.Exit: a command failed; what was finished stays.
    """
    out.mkdir(parents=True, exist_ok=True)
    for size in SIZES:
        listed = list_clips(data, out / f"{size}.csv", *SIZES[size])
        variants = {f"{size}-from-nothing": (), f"{size}-init": ("--init", str(init))}
        print_comparison(
            train_all(listed, variants, seeds, out, ("--stress", "none")), "--markdown"
        )


def list_clips(data: Path, path: Path, speakers: int, *counts: int) -> Path:
    """Write a manifest of the first speakers; which clips it takes depends on their names only.

    Args:
        data: folder of speakers.
        path: the CSV to write; it is returned.
        speakers: how many.
        counts: training, validation and test clips of each.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "speaker", "session", "split"])
        for folder in sorted(p for p in data.iterdir() if p.is_dir())[:speakers]:
            clips = sorted(folder.iterdir(), key=lambda p: hashlib.sha256(p.name.encode()).digest())
            for side, count in zip(("train", "validation", "test"), counts, strict=True):
                for clip in clips[:count]:
                    rows.writerow([clip.resolve(), folder.name, "", side])
                clips = clips[count:]
    return path
