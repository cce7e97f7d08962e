"""The clips of a corpus and their speakers, from a folder of folders or a CSV file.

In ``DATA/<speaker>/**/<clip>`` each folder is a speaker and the folders below it are sessions (one
recording occasion each). A CSV has the columns ``path,speaker[,session][,split]``, with paths
relative to the file.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

from voxedge.audio.load import SUFFIXES
from voxedge.errors import CorpusError

Side: TypeAlias = Literal["train", "validation", "test"]
SIDES: tuple[Side, ...] = get_args(Side)


@dataclass(frozen=True)
class Clip:
    """An audio file and its speaker."""

    path: Path
    name: str  # relative to the corpus, with forward slashes
    speaker: str
    session: str = ""
    split: Side | None = None  # if the manifest prescribes one


@dataclass(frozen=True)
class Manifest:
    """All clips of a corpus, sorted by name."""

    root: Path
    clips: tuple[Clip, ...]
    ignored: tuple[str, ...] = ()  # files without the suffix of an audio format

    @property
    def speakers(self) -> list[str]:
        """The speakers, sorted."""
        return sorted({clip.speaker for clip in self.clips})


def read_manifest(source: Path) -> Manifest:
    """Read a corpus folder or a CSV manifest.

    Raises:
        CorpusError: it is missing, malformed, or has no clips.
    """
    if source.is_dir():
        return _scan(source)
    if source.is_file():
        return _read_csv(source)
    raise CorpusError(
        f"there is no corpus at {source}",
        "expected a folder with one subfolder of clips for each speaker",
    )


def _scan(root: Path) -> Manifest:
    clips: list[Clip] = []
    ignored: list[str] = []
    loose = 0
    for folder, subfolders, files in os.walk(root, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        here = Path(folder)
        parts = here.relative_to(root).parts
        if len(parts) > 32:
            raise CorpusError(f"folders nested too deeply at {here}", "is there a cyclic link?")
        for name in sorted(files):
            path = here / name
            if name.startswith("."):
                continue
            if path.suffix.lower() not in SUFFIXES:
                ignored.append(path.relative_to(root).as_posix())
            elif not parts:
                loose += 1
            else:
                relative = path.relative_to(root).as_posix()
                clips.append(Clip(path, relative, as_text(parts[0]), "/".join(parts[1:])))
    if not clips:
        directly = f" ({loose} clips are directly in it)" if loose else ""
        raise CorpusError(
            f"{root}: no speaker folders with audio in them{directly}",
            "the expected layout is data/<speaker>/<clip>.wav",
        )
    return Manifest(root, tuple(sorted(clips, key=lambda clip: clip.name)), tuple(ignored))


def _read_csv(path: Path) -> Manifest:
    clips: dict[str, Clip] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            rows = csv.DictReader(file)
            columns = set(rows.fieldnames or ())
            if not {"path", "speaker"} <= columns:
                raise CorpusError(f"{path}: the first line must name the columns path and speaker")
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                name, speaker = row["path"], as_text(row["speaker"] or "")
                session, split = row.get("session") or "", row.get("split") or None
                if not name or not speaker:
                    raise CorpusError(f"{where}: path or speaker is empty")
                if split is not None and split not in SIDES:
                    raise CorpusError(f"{where}: split is {split!r}, not one of {', '.join(SIDES)}")
                if name in clips:
                    raise CorpusError(f"{where}: {name} is listed twice")
                clips[name] = Clip(path.parent / name, name, speaker, session, cast(Side, split))
    except csv.Error as error:
        raise CorpusError(f"{path} is not a CSV file: {error}") from None
    given = {clip.split is None for clip in clips.values()}
    if not clips:
        raise CorpusError(f"{path} lists no clips")
    if len(given) == 2:
        raise CorpusError(f"{path}: the split column must be filled for all clips or for none")
    return Manifest(path.parent, tuple(clips[name] for name in sorted(clips)))


def as_text(name: str) -> str:
    """Escape the undecodable bytes of a file name, so that JSON and UTF-8 can hold it."""
    return name.encode("utf-8", "backslashreplace").decode()
