"""What each part of the default recipe is worth: the recipe without it, or with another.

Small networks, so that many can be trained: the speakers and clips of centers.py, images of
48 x 48, 12 epochs. Each is judged on other clips of its speakers, clean and spoilt. A folder each
in OUT; what is finished is not done again, and what was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.accuracy.centers import SMALL, SPEAKERS
from bench.accuracy.few import list_clips
from bench.accuracy.table import compare, settings, train_all

_JUDGED = "noise10,room,telephone,cut1"

#: What the recipe is told, by name; the first is the recipe as it stands.
VARIANTS: dict[str, dict[str, object]] = {
    "default": {},
    "no-noise": {"augment.noise": 0},
    "no-rooms": {"augment.rooms": 0},
    "no-channel": {"augment.channel": 0},
    "no-gain": {"augment.gain": 0},
    "no-pieces": {"augment.shorter": 0},
    "no-masks": {"augment.frequency_mask": 0, "augment.time_mask": 0},
    "no-statistics": {"model.statistics": "false"},
    "no-discriminant": {"loss.refit": "false"},
    "no-margin": {"loss.margin": 0},
    "no-parts": {"loss.auxiliary_heads": "false"},
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
        noise: folder of noises, to train in and, others of them, to judge by.
        rooms: folder of impulse responses, likewise.
        out: folder to write to.
        variants: keys of ``VARIANTS``; differences are to the first.
        seeds: of the weights and the order; the clips are the same for all.

    Raises:
        subprocess.CalledProcessError: a command failed; what was finished stays.
    """
    out.mkdir(parents=True, exist_ok=True)
    listed = list_clips(data, out / "clips.csv", *SPEAKERS)
    own = {name: (*SMALL, *settings(heard(name, noise, rooms))) for name in variants}
    judged = ("--stress", _JUDGED, "--noise", str(noise), "--rooms", str(rooms))
    compare(train_all(listed, own, seeds, out, judged), "--markdown")


def heard(name: str, noise: Path, rooms: Path) -> dict[str, object]:
    """A variant with the folders that it hears; one without noise has no use for noises."""
    variant = VARIANTS[name]
    folders = {"augment.noise": noise, "augment.rooms": rooms}
    return {
        **{f"{key}_folder": folder for key, folder in folders.items() if key not in variant},
        **variant,
    }
