"""Parquet files with the audio in them, as Hugging Face's ``datasets`` writes them.

The column ``Audio`` is a struct of ``bytes`` and ``path``. pyarrow alone reads them: ``datasets``
would decode with libraries of its own. A group of rows is read at once, so clips should be asked
for in order.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from threading import Lock
from typing import Any, NamedTuple

from voxedge.data.clips import Clip, Manifest, refuse_lookalikes
from voxedge.errors import CorpusError, UnreadableAudio
from voxedge.install import needs_extra
from voxedge.names import speaker_name

_SPEAKERS = ("speaker", "speaker_id", "client_id")
_SESSION = "session"
_GROUPS = 2  # of rows that are held: threads that decode ahead are in the next one

_reading = Lock()  # else threads that want one group would each read it


@dataclass(frozen=True, slots=True)
class Cell:
    """The bytes of a clip in a column of a file."""

    file: Path
    column: str
    group: int  # of rows
    row: int  # in the group

    def read_bytes(self) -> bytes:
        """The bytes of the audio file.

        Raises:
            UnreadableAudio: there are none.
        """
        import pyarrow as pa

        try:
            with _reading:
                group = _group(self.file, self.column, self.group)
        except (OSError, pa.ArrowException) as error:
            raise UnreadableAudio(f"{self.file} cannot be read: {error}") from None
        value = (group[self.row].as_py() or {}).get("bytes")
        if not value:
            raise UnreadableAudio("the row holds no bytes", "save the data set with its audio")
        return bytes(value)


class _Columns(NamedTuple):
    audio: str
    speaker: str
    session: str | None
    names: list[str] | None  # of the speakers, if their column has numbers of classes


@functools.lru_cache(_GROUPS)
def _group(file: Path, column: str, group: int) -> Any:  # noqa: ANN401 - pyarrow.ChunkedArray
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:
        return opened.read_row_group(group, columns=[f"{column}.bytes"]).column(0)


def read_parquet(source: Path) -> Manifest:
    """Read a Parquet file, or all of a folder as one corpus.

    Raises:
        CorpusError: a file is not Parquet, has no column of audio or speakers, or a speaker without
            a name.
        MissingExtra: pyarrow is not installed.
    """
    with needs_extra("scale"):
        import pyarrow as pa
        import pyarrow.parquet as pq

    clips: list[Clip] = []
    for file in sorted(source.glob("*.parquet")) if source.is_dir() else [source]:
        try:
            with pq.ParquetFile(file) as opened:
                clips += _clips(file, opened)
        except (OSError, pa.ArrowException) as error:
            raise CorpusError(f"{file} is not a Parquet file: {error}") from None
    if not clips:
        raise CorpusError(f"{source} has no rows")
    refuse_lookalikes(source, {clip.speaker for clip in clips}, "correct the column of speakers")
    return Manifest(source, tuple(clips))


def _clips(file: Path, opened: Any) -> list[Clip]:  # noqa: ANN401 - pyarrow.parquet.ParquetFile
    """The rows of a file, whose audio is not read."""
    found = _columns(file, opened.schema_arrow)
    wanted = [f"{found.audio}.path", found.speaker, *([found.session] if found.session else [])]
    clips: list[Clip] = []
    for group in range(opened.num_row_groups):
        table = opened.read_row_group(group, columns=wanted)
        speakers, audio = table[found.speaker].to_pylist(), table[found.audio].to_pylist()
        sessions = table[found.session].to_pylist() if found.session else [None] * len(speakers)
        for row, speaker in enumerate(speakers):
            number = len(clips)
            if speaker is None or not str(speaker).strip():
                raise CorpusError(f"{file}: row {number} has no {found.speaker}")
            path = (audio[row] or {}).get("path")
            name = f"{file.name}/{number:08d}" + (f"-{PureWindowsPath(path).name}" if path else "")
            label = speaker_name(found.names[speaker] if found.names else str(speaker))
            session = "" if sessions[row] is None else str(sessions[row])
            clips.append(Clip(Cell(file, found.audio, group, row), name, label, session))
    return clips


def _columns(file: Path, schema: Any) -> _Columns:  # noqa: ANN401 - pyarrow.Schema
    """Which columns hold audio, speakers and sessions."""
    import pyarrow as pa

    structs = [field for field in schema if pa.types.is_struct(field.type)]
    audio = [
        field.name
        for field in structs
        if {"bytes", "path"} <= {inner.name for inner in field.type.fields}
    ]
    speaker = next((name for name in _SPEAKERS if name in schema.names), None)
    if len(audio) != 1 or speaker is None:
        raise CorpusError(
            f"{file} has {len(audio)} columns of audio and {'no' if speaker is None else 'a'}"
            f" column {' or '.join(_SPEAKERS)}; it has {', '.join(schema.names)}",
            "expected one struct of bytes and path, and the speakers; rename the columns",
        )
    session = _SESSION if _SESSION in schema.names else None
    return _Columns(audio[0], speaker, session, _class_names(schema, speaker))


def _class_names(schema: Any, column: str) -> list[str] | None:  # noqa: ANN401 - pyarrow.Schema
    """The names of a column of classes, which ``datasets`` keeps in the file's metadata."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])
        return list(about["info"]["features"][column]["names"])
    except (KeyError, TypeError, ValueError):
        return None
