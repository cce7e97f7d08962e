"""Read the clips of a corpus, whatever kind it is: one function for every command.

A folder of folders (``folder``), a folder of Kaldi (``kaldi``), Parquet files with audio in them
(``parquet``), tar shards (``shards``), or a CSV file with the columns
``path,speaker[,session][,split]``, with paths relative to the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from voxedge.audio.folders import is_skipped
from voxedge.audio.load import StoredAudio
from voxedge.data.clips import SIDES, Clip, Manifest, Side, refuse_lookalikes
from voxedge.data.folder import read_folder
from voxedge.data.kaldi import is_kaldi, read_kaldi
from voxedge.data.parquet import read_parquet
from voxedge.data.shards import read_shards
from voxedge.data.table import read_table
from voxedge.errors import CorpusError
from voxedge.names import speaker_name

_NEEDED = ("path", "speaker")
_KNOWN = ("session", "split")
_AS_UTF8 = "save the file as CSV (UTF-8)"
_WITHIN = {".parquet": read_parquet, ".tar": read_shards}  # files with clips in them


def read_manifest(source: Path) -> Manifest:
    """Read a corpus of any kind.

    Raises:
        CorpusError: it is missing, malformed, or has no clips; or names of speakers look alike.
        MissingExtra: it is Parquet, and pyarrow is not installed.
    """
    if is_kaldi(source):
        return read_kaldi(source)
    if read := _WITHIN.get(_kind(source)):
        return read(source)
    if os.path.isdir(source):  # noqa: PTH112 - unlike Path's, no error where it may not be seen
        return read_folder(source)
    if os.path.isfile(source):  # noqa: PTH113
        return _read_csv(source)
    raise CorpusError(
        f"there is no corpus at {source}",
        "expected a folder with one subfolder of clips for each speaker",
    )


def read_split(path: Path, data: Path) -> Manifest:
    """Read the table of clips that a run wrote: labels are as they are in its network.

    Args:
        path: the table.
        data: the corpus, or the folder that the table's paths are relative to.

    Raises:
        CorpusError: it is malformed, has no clips, or none of them is in the corpus.
    """
    listed = _clips_of_table(path)
    is_table = data.is_file() and data.suffix not in _WITHIN
    sources = _sources_of(listed, data.parent if is_table else data)
    clips = tuple(
        replace(clip, source=sources[name], name=name) for name, clip in sorted(listed.items())
    )
    return Manifest(data.parent if is_table else data, clips, is_checked=True)


def _sources_of(listed: Mapping[str, Clip], root: Path) -> Mapping[str, Path | StoredAudio]:
    """Where the clips of a run are: files under the root, or within its files."""
    files = {name: root / name for name in listed}
    if any(file.is_file() for file in files.values()):
        return files
    if _kind(root) in _WITHIN or is_kaldi(root):
        found = {clip.name: clip.source for clip in read_manifest(root).clips}
        if found.keys() & listed.keys():
            return files | found
    raise CorpusError(f"the run's clips are not in {root}", "pass --data FOLDER")


def _kind(source: Path) -> str:
    """The ending of the files that hold clips; "" where the clips are files of their own.

    A folder counts only if it has no folders: an archive may lie beside those of speakers.
    """
    if not os.path.isdir(source):  # noqa: PTH112
        return source.suffix
    try:
        with os.scandir(source) as entries:
            shown = [entry for entry in entries if not is_skipped(entry.name)]
    except OSError:  # which read_folder explains
        return ""
    if any(entry.is_dir() for entry in shown):
        return ""
    endings = {os.path.splitext(entry.name)[1] for entry in shown}  # noqa: PTH122
    return next((ending for ending in _WITHIN if ending in endings), "")


def _read_csv(path: Path) -> Manifest:
    found = _clips_of_table(path)
    clips = []
    for name, clip in sorted(found.items()):
        file, speaker = path.parent / name, speaker_name(clip.speaker)
        for text, what in ((clip.speaker, "speaker"), (name, "path")):
            if not _is_utf8(text) and (what == "speaker" or not file.exists()):
                raise CorpusError(f"{path}: a {what} is not UTF-8: {speaker_name(text)}", _AS_UTF8)
        clips.append(replace(clip, source=file, speaker=speaker))
    refuse_lookalikes(path, {clip.speaker for clip in clips}, "correct the column speaker")
    return Manifest(path.parent, tuple(clips))


def _clips_of_table(path: Path) -> dict[str, Clip]:
    """The rows of a table by their paths, as they are written there."""
    clips: dict[str, Clip] = {}
    for line, row in read_table(path, _NEEDED, _KNOWN):
        where = f"{path}, line {line}"
        name, speaker = row["path"], row["speaker"]
        split = cast("Side | None", row.get("split", "").strip().lower() or None)
        if not name.strip() or not speaker.strip():
            raise CorpusError(f"{where}: path or speaker is empty")
        if split is not None and split not in SIDES:
            raise CorpusError(f"{where}: split is {split!r}, not one of {', '.join(SIDES)}")
        if name in clips:
            raise CorpusError(f"{where}: {name} is listed twice")
        session = row.get("session", "")
        clips[name] = Clip(Path(name), name, speaker, session, split)
    if not clips:
        raise CorpusError(f"{path} lists no clips")
    if len({clip.split is None for clip in clips.values()}) == 2:
        raise CorpusError(f"{path}: the split column must be filled for all clips or for none")
    return clips


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
