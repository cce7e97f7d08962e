"""VoxCeleb1's layout in miniature."""

from __future__ import annotations

import csv
import io
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile

SIDES = {"1": "train", "2": "validation", "3": "test"}


def a_wav() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(16, np.float32), 16000, format="WAV")
    return file.getvalue()


WAV = a_wav()


def video(speaker: str, name: str, sides: str) -> list[str]:
    """The list's lines for one video, one utterance for each character of ``sides``."""
    return [f"{side} {speaker}/{name}/{i:05}.wav" for i, side in enumerate(sides, 1)]


def build(root: Path, lines: list[str], audio: str = "wav") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "iden_split.txt").write_bytes("".join(f"{line}\n" for line in lines).encode())
    for line in lines:
        path = root / audio / line.split()[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(WAV)
    return root


def official() -> list[str]:
    """Three speakers; one video of the second is both in train and in validation."""
    return [
        *video("id10003", "vvvvvvvvvvv", "111"),
        *video("id10003", "-starts_odd", "33"),
        *video("id10003", "wwwwwwwwwww", "2"),
        *video("id10001", "aaaaaaaaaaa", "1111"),
        *video("id10001", "bbbbbbbbbbb", "22"),
        *video("id10001", "ccccccccccc", "3"),
        *video("id10002", "leaking____", "112"),
        *video("id10002", "ddddddddddd", "3"),
    ]


def many(speakers: int = 8, seed: int = 1) -> list[str]:
    """Speakers with 4 to 20 videos of 1 to 12 utterances, as uneven as the real ones."""
    draw = random.Random(seed)
    return [
        line
        for s in range(1, speakers + 1)
        for v in range(draw.randint(4, 20))
        for line in video(f"id{10000 + s}", f"video{v:06}", "1" * draw.randint(1, 12))
    ]


def rows(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def by_speaker(manifest: Path) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows(manifest):
        found[row["speaker"]].append(row)
    return found
