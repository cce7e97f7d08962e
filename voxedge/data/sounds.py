"""Load recordings of noise and room impulse responses, in two disjoint halves.

One half augments the training clips, the other degrades the clips of an evaluation, so that no
model is measured in a noise or a room that it was trained in. The half of a recording, and of all
impulse responses of a room, follows from a hash of its name.

Shapes: N samples of a noise, R of an impulse response; float32 in [-1, 1].
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from voxedge.audio.folders import find
from voxedge.audio.limits import Limits, Samples
from voxedge.audio.load import decode
from voxedge.errors import AudioError, CorpusError

Half: TypeAlias = Literal["training", "evaluation"]

_ANY_LENGTH = Limits(min_seconds=0.0)  # the response of a dry room lasts a tenth of a second
_SILENCE = 1e-8  # mean square of 20 ms: -80 dBFS


def load_noises(folder: Path, rate: int, half: Half) -> tuple[Samples, ...]:
    """Load one half of the noises [N] in a folder, without digital silence.

    At most the first hour of each is used. Parts of one recording (names that end in ``-A``,
    ``-B``) are in the same half.

    Args:
        folder: searched with its subfolders.
        rate: rate to resample to, in Hz.
        half: which one.

    Raises:
        CorpusError: there is no such folder, or this half of it is empty or silent.
    """
    noises = (_without_silence(sound, rate) for sound in _load(folder, rate, half, _recording))
    return _audible(noises, folder, half)


def load_rooms(folder: Path, rate: int, half: Half) -> tuple[Samples, ...]:
    """Load one half of the impulse responses [R] in a folder, named ``<room>__<id>``.

    Args:
        folder: searched with its subfolders.
        rate: rate to resample to, in Hz.
        half: which one.

    Raises:
        CorpusError: there is no such folder, or this half of it is empty or silent.
    """
    return _audible(_load(folder, rate, half, _room), folder, half)


def halves(
    paths: Iterable[Path], unit: Callable[[Path], str] = lambda path: path.stem
) -> dict[Half, list[Path]]:
    """Divide files into the halves for training and for evaluation.

    The hash of its unit's name alone decides, so a file keeps its half when others are added.

    Args:
        paths: the files.
        unit: name of what must not be divided; files of one unit are in the same half.
    """
    found: dict[Half, list[Path]] = {"training": [], "evaluation": []}
    for path in sorted(paths):
        odd = hashlib.sha256(unit(path).encode(errors="surrogateescape")).digest()[0] & 1
        found["evaluation" if odd else "training"].append(path)
    return found


def _load(folder: Path, rate: int, half: Half, unit: Callable[[Path], str]) -> Iterable[Samples]:
    if not folder.is_dir():
        raise CorpusError(f"there is no folder {folder}")
    everything = list(find(str(folder)))
    if failed := next((found for found in everything if found.error), None):
        raise CorpusError(f"{failed.path}: {failed.error}")
    paths = halves((Path(each.path) for each in everything if each.kind == "clip"), unit)[half]
    if not paths:
        raise CorpusError(
            f"{folder} has no sounds for {half}", "half of the files are reserved for each purpose"
        )
    for path in paths:
        try:
            yield decode(path, rate, _ANY_LENGTH).samples
        except AudioError as error:
            raise CorpusError(f"{path}: {error.message}") from None


def _audible(sounds: Iterable[Samples], folder: Path, half: Half) -> tuple[Samples, ...]:
    """Keep the sounds that are not all zero."""
    audible = tuple(sound for sound in sounds if sound.any())
    if not audible:
        raise CorpusError(f"{folder} holds nothing but silence for {half}")
    return audible


def _recording(path: Path) -> str:
    return re.sub(r"-[A-Z]$", "", path.stem)


def _room(path: Path) -> str:
    return path.stem.split("__")[0]


def _without_silence(sound: Samples, rate: int) -> Samples:
    frame = max(1, rate // 50)
    frames = sound[: len(sound) // frame * frame].reshape(-1, frame)
    audible: Samples = frames[np.square(frames).mean(axis=1) > _SILENCE].reshape(-1)
    return audible
