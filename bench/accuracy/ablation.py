"""What each part of the default recipe contributes: the recipe without it, or with another value.

Small networks, so that many can be trained: the speakers and clips of centers.py, images of
48 x 48, 12 epochs. Each is evaluated on other clips of its speakers, clean and degraded. A folder
each in OUT; a finished run is not repeated, and a stopped one goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.accuracy.centers import SMALL, SPEAKERS
from bench.accuracy.few import list_clips
from bench.accuracy.table import print_comparison, settings, train_all

_CONDITIONS = "noise10,room,telephone,cut1"

#: Changes of the recipe by name; the first is the recipe itself.
VARIANTS: dict[str, dict[str, object]] = {
    "default": {},
    "no-noise": {"augment.noise": 0},
    "no-rooms": {"augment.rooms": 0},
    "no-channel": {"augment.channel": 0},
    "no-gain": {"augment.gain": 0},
    "no-segments": {"augment.shorter": 0},
    "no-masks": {"augment.frequency_mask": 0, "augment.time_mask": 0},
    "no-statistics": {"model.statistics": "false"},
    "no-discriminant": {"loss.refit": "false"},
    "no-margin": {"loss.margin": 0},
    "no-auxiliary-heads": {"loss.auxiliary_heads": "false"},
    "no-centers": {"loss.center": "none"},
    "no-average": {"training.average": 0},
    "no-decay": {"optimizer.weight_decay": 0},
    "hop-10-ms": {"frontend.hop_length": 160},
    "hop-20-ms": {"frontend.hop_length": 320},
    "mels-40": {"frontend.n_mels": 40},
}


def make(
    data: Path, noise: Path, rooms: Path, out: Path, variants: Sequence[str], seeds: Sequence[int]
) -> None:
    """Train and evaluate every variant with every seed, then compare them.

    Args:
        data: folder of speakers with 16 clips each.
        noise: folder of noises; some are for training, the others for the evaluation.
        rooms: folder of impulse responses, likewise.
        out: folder to write to.
        variants: keys of ``VARIANTS``; differences are to the first.
        seeds: of the weights and the order; the clips are the same for all.

    Raises:
        typer.Exit: a command failed; what was finished stays.
    """
    out.mkdir(parents=True, exist_ok=True)
    listed = list_clips(data, out / "clips.csv", *SPEAKERS)
    flags = {name: (*SMALL, *settings(with_folders(name, noise, rooms))) for name in variants}
    evaluate = ("--stress", _CONDITIONS, "--noise", str(noise), "--rooms", str(rooms))
    print_comparison(train_all(listed, flags, seeds, out, evaluate), "--markdown")


def with_folders(name: str, noise: Path, rooms: Path) -> dict[str, object]:
    """A variant with the folders that it uses: one without noise must not have one of noises."""
    variant = VARIANTS[name]
    folders = {"augment.noise": noise, "augment.rooms": rooms}
    return {
        **{f"{key}_folder": folder for key, folder in folders.items() if key not in variant},
        **variant,
    }
