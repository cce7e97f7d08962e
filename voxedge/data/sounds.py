"""Recordings of noise and of rooms, for training and for measuring: never the same ones for both.

Each recording and each room belongs to one half, by a hash of its name.

Shapes: N samples of a noise, R of an impulse response; float32 in [-1, 1].
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from voxedge.audio.limits import Limits, Samples
from voxedge.audio.load import SUFFIXES, decode
from voxedge.errors import AudioError, CorpusError

Half: TypeAlias = Literal["training", "evaluation"]

_ANY_LENGTH = Limits(min_seconds=0.0)  # a dry room rings for a tenth of a second
_SILENCE = 1e-8  # mean square of 20 ms: -80 dBFS


def load_noises(folder: Path, rate: int, half: Half) -> tuple[Samples, ...]:
    """One half of the noises in a folder, digital silence taken out, at ``rate`` Hz.

    Of each, at most the first hour. Pieces of one recording (names that end in ``-A``, ``-B``) stay
    together.

    Raises:
        CorpusError: no such folder, or nothing but silence in this half of it.
    """
    noises = (_without_silence(sound, rate) for sound in _load(folder, rate, half, _recording))
    return _heard(noises, folder, half)


def load_rooms(folder: Path, rate: int, half: Half) -> tuple[Samples, ...]:
    """One half of the rooms in a folder of impulse responses named ``<room>__<id>``.

    Raises:
        CorpusError: no such folder, or nothing but silence in this half of it.
    """
    return _heard(_load(folder, rate, half, _room), folder, half)


def halves(
    paths: Iterable[Path], unit: Callable[[Path], str] = lambda path: path.stem
) -> dict[Half, list[Path]]:
    """Files to train with, and files to evaluate with: by a hash of their unit's name alone, so a
    file keeps its half when others come and go.

    Args:
        paths: the files.
        unit: what must not be divided: paths to the same unit share a half.
    """
    found: dict[Half, list[Path]] = {"training": [], "evaluation": []}
    for path in sorted(paths):
        odd = hashlib.sha256(unit(path).encode(errors="surrogateescape")).digest()[0] & 1
        found["evaluation" if odd else "training"].append(path)
    return found


def _load(folder: Path, rate: int, half: Half, unit: Callable[[Path], str]) -> Iterable[Samples]:
    if not folder.is_dir():
        raise CorpusError(f"there is no folder {folder}")
    paths = halves((p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES), unit)[half]
    if not paths:
        raise CorpusError(
            f"{folder} holds no sounds for {half}", "half of the files are kept apart"
        )
    for path in paths:
        try:
            yield decode(path, rate, _ANY_LENGTH).samples
        except AudioError as error:
            raise CorpusError(f"{path}: {error.message}") from None


def _heard(sounds: Iterable[Samples], folder: Path, half: Half) -> tuple[Samples, ...]:
    found = tuple(sound for sound in sounds if sound.any())
    if not found:
        raise CorpusError(f"{folder} holds nothing but silence for {half}")
    return found


def _recording(path: Path) -> str:
    return re.sub(r"-[A-Z]$", "", path.stem)


def _room(path: Path) -> str:
    return path.stem.split("__")[0]


def _without_silence(sound: Samples, rate: int) -> Samples:
    frame = max(1, rate // 50)
    whole = sound[: len(sound) // frame * frame].reshape(-1, frame)
    heard: Samples = whole[np.square(whole).mean(axis=1) > _SILENCE].reshape(-1)
    return heard
