"""The file of a gallery: two lines of text, then numbers (docs/enroll.md, "The file").

The first line names the format, its schema and the SHA-256 of all that follows, and may carry a
signature; the second is one JSON object; then come the embeddings of all clips as float32 and the
kept samples as int16, both little-endian. So it is read in ten lines of Python, is never half-read,
and runs no code. A large one is mapped into memory, whose pages processes share.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import re
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from voxedge.errors import GalleryBusy, GalleryError, GalleryNotFound, UsageError
from voxedge.files import atomic_write, locked
from voxedge.gallery import signature
from voxedge.gallery.calibration import Calibration
from voxedge.gallery.derived import delete_means, open_means
from voxedge.gallery.neighbours import keep_own
from voxedge.gallery.people import (
    Bounds,
    ClipTable,
    Contents,
    Floats,
    GalleryModel,
    StoredPeople,
    means_of,
)
from voxedge.install import DISTRIBUTION
from voxedge.names import is_blank, lookalikes

MAGIC = "voxedge-gallery"
SCHEMA = 1
#: Bytes from which on a file is mapped, not read, and people are made when they are asked for.
MAPPED_FROM = 16 << 20
WAIT = 30.0  # seconds for other processes that change the file; each takes milliseconds

_MAX_FILE = 4 << 30  # bytes
_UNIT = 1e-3  # that the length of an embedding may differ from 1
_ALIGNED = 64  # bytes that the place of the embeddings is a multiple of
_FIRST_LINE = re.compile(rf"({MAGIC} (\d{{1,6}}) ([0-9a-f]{{64}}))(?: ([A-Za-z0-9+/=]{{88}}))?")
_LONGEST_LINE = 200  # bytes of the first line, and more


def encode(contents: Contents, sign: signature.Sign | None = None) -> bytes:
    """A gallery as the bytes of its file; ``sign`` signs the first line, and by it the rest."""
    clips = [clip for person in contents.people for clip in person.clips]
    header = {
        "model": asdict(contents.model),
        "clips": len(clips),
        "people": [
            {
                "name": person.name,
                "clips": [
                    {
                        "file": clip.file,
                        "seconds": round(clip.seconds, 3),
                        "speech": round(clip.speech, 3),
                        "samples": 0 if clip.samples is None else len(clip.samples),
                    }
                    for clip in person.clips
                ],
            }
            for person in contents.people
        ],
        "calibration": None if contents.calibration is None else asdict(contents.calibration),
    }
    text = json.dumps(header, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    before = len(f"{MAGIC} {SCHEMA} ") + 64 + (0 if sign is None else 1 + signature.LENGTH) + 1
    rest = b"".join(
        (
            text,
            b" " * (-(before + len(text) + 1) % _ALIGNED) + b"\n",
            *(clip.embedding.astype("<f4").tobytes() for clip in clips),
            *(clip.samples.astype("<i2").tobytes() for clip in clips if clip.samples is not None),
        )
    )
    line = f"{MAGIC} {SCHEMA} {hashlib.sha256(rest).hexdigest()}"
    return f"{line}{'' if sign is None else f' {sign(line.encode())}'}\n".encode() + rest


def decode(
    data: bytes | mmap.mmap,
    name: str = "the gallery",
    *,
    trust: Path | None = None,
    path: Path | None = None,
) -> Contents:
    """Read the bytes of a gallery's file, none of which is trusted.

    Args:
        data: the bytes.
        name: of the gallery, for people.
        trust: the file of a public key, by which they have to be signed.
        path: of the file. Then ``data`` is mapped, and what is derived of it lies beside it.

    Raises:
        GalleryError: they are not a whole gallery, or of a newer schema (``SignatureRefused``: not
            signed by the key).
        UsageError, MissingExtra: as of ``signature.verify``.
    """
    end = data.find(b"\n", 0, _LONGEST_LINE)
    found = _FIRST_LINE.fullmatch(data[: max(0, end)].decode("ascii", "replace"))
    if found is None:
        what = "not a voxedge gallery" if len(data) else "an empty file, and no gallery"
        raise GalleryError(f"{name} is {what}", "name another by --gallery, or copy it again")
    line, schema, checksum, signed = found.groups()
    if int(schema) > SCHEMA:
        raise GalleryError(
            f"{name} is of schema {schema}; this voxedge reads up to {SCHEMA}",
            f"upgrade {DISTRIBUTION}",
        )
    rest = memoryview(data)[end + 1 :]
    if hashlib.sha256(rest).hexdigest() != checksum:
        raise GalleryError(
            f"{name} is damaged: its content does not match its checksum", "copy it again"
        )
    if trust is not None:
        signature.verify(trust, line.encode(), signed, name)
    header = bytes(data[end + 1 : data.find(b"\n", end + 1) + 1])
    means = means_of if path is None else partial(open_means, path, checksum)
    try:
        contents = _contents(header, rest[len(header) :], means)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise GalleryError(f"{name} is refused: {error}") from None
    return contents if path is not None else contents.in_memory()


def read(path: Path, trust: Path | None = None) -> Contents:
    """Read a gallery, or map a large one into memory.

    Args:
        path: of the file.
        trust: the file of a public key, by which it has to be signed.

    Raises:
        GalleryNotFound: there is no such file.
        GalleryError: it cannot be read, or is not a whole gallery (``SignatureRefused``: not signed
            by the key).
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            mapped = MAPPED_FROM <= size <= _MAX_FILE
            data: bytes | mmap.mmap = (
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                if mapped
                else file.read(_MAX_FILE + 1)
            )
    except FileNotFoundError:
        raise GalleryNotFound(
            f"there is no gallery {path}", "enrol somebody: voxedge enroll NAME CLIP..."
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise GalleryError(f"{path} cannot be read: {reason}") from None
    if len(data) > _MAX_FILE:
        raise GalleryError(f"{path} is larger than {_MAX_FILE >> 30} GiB")
    return decode(data, path.name, trust=trust, path=path.resolve() if mapped else None)


def write(path: Path, contents: Contents, sign: signature.Sign | None = None) -> None:
    """Replace a gallery's file as a whole; to be called under its lock.

    A new one is its owner's alone (0600): embeddings are biometric data. Another keeps its mode.
    What a killed process left of an earlier version is deleted, and so is what was derived of other
    people: they may hold people who were removed since.

    Raises:
        OSError: the disk is full, or the folder read-only; the old file is as it was.
    """
    with atomic_write(path, like=path) as file:
        file.write(encode(contents, sign))
    leftover = re.compile(rf"\.{re.escape(path.name)}\.\w{{8}}")
    for other in path.parent.iterdir():
        if leftover.fullmatch(other.name):
            with suppress(OSError):
                other.unlink()
    delete_means(path)
    keep_own(contents.means, path)


def change(
    path: Path, make: Callable[[Contents], Contents], new: Contents | None = None
) -> Contents:
    """Replace a gallery by what a function makes of its present contents, under its lock.

    Args:
        path: of the file, or a link to it.
        make: raises where nothing is to be changed.
        new: what it makes something of where there is no file.

    Raises:
        GalleryBusy: another process has been changing the gallery for long.
        UsageError: there is no folder for the file.
        GalleryNotFound, GalleryError, OSError: as of ``read`` and ``write``.
    """
    target = path.resolve()  # of a link it is the file that is replaced
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent} for the gallery")
    try:
        with locked(target, WAIT):
            changed = make(new if new is not None and not target.exists() else read(target))
            write(target, changed)
    except TimeoutError:
        raise GalleryBusy(
            f"another process has been changing {path} for {WAIT:g} s", "try again"
        ) from None
    return changed


def _contents(
    header: bytes, body: memoryview, means: Callable[[Floats, Bounds], Floats]
) -> Contents:
    """The gallery of a header and the numbers behind it.

    Raises:
        ValueError, KeyError, TypeError: they do not fit together.
    """
    columns = _Columns()
    values = json.loads(header, object_hook=columns.take)
    model = GalleryModel(**values["model"])
    texts = (model.digest, model.file, model.source)
    _require(all(isinstance(text, str) for text in texts), "its model is not described by text")
    _require(_size(model.sample_rate) > 0, "its sample rate is impossible")
    clips, width = len(columns.files), _size(model.embedding_dim)
    people = values["people"]
    _require(all(isinstance(person, _Entry) for person in people), "a person is not described")
    bounds = np.cumsum([0, *(person.clips for person in people)])
    split = 4 * width * clips
    _require(values["clips"] == clips == bounds[-1], "its clips are not as many as it says")
    _require(len(body) == split + 2 * sum(columns.sizes), "its size is not what its header says")
    rows = np.frombuffer(body[:split], "<f4").reshape(clips, width)
    for start in range(0, clips, 4096):
        norms = np.linalg.norm(rows[start : start + 4096], axis=1)
        _require(bool((np.abs(norms - 1) < _UNIT).all()), "an embedding is not of length 1")
    names = tuple(person.name for person in people)
    _require(bool((np.diff(bounds) > 0).all()), "a person without clips")
    _require(not any(map(is_blank, names)), "a name that cannot be seen")
    _require(len(set(names)) == len(names) and not lookalikes(names), "a name twice")
    table = ClipTable(
        *(columns.files, columns.seconds, columns.speech, rows),
        np.frombuffer(body[split:], "<i2"),
        np.cumsum([0, *columns.sizes]),
    )
    found = values["calibration"]
    calibration = None if found is None else Calibration.from_json(found)
    return Contents(model, StoredPeople(names, bounds, table, means), calibration)


class _Entry:
    """A person of the header."""

    def __init__(self, name: str, clips: int) -> None:
        self.name, self.clips = name, clips


class _Columns:
    """Takes the objects of the header as they are parsed, clip by clip, and holds columns."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.seconds, self.speech, self.sizes = array("d"), array("d"), array("q")
        self._texts: dict[str, str] = {}  # file names, most of which are alike

    def take(self, value: dict[str, Any]) -> object:
        """The hook of ``json.loads``: called for a person's clips, then for the person."""
        if "samples" in value:
            file = str(value["file"])
            self.files.append(self._texts.setdefault(file, file))
            self.seconds.append(_number(value["seconds"]))
            self.speech.append(_number(value["speech"]))
            self.sizes.append(_size(value["samples"]))
            return None
        if "name" in value and "clips" in value:
            return _Entry(str(value["name"]), len(value["clips"]))
        return value


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def _size(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no size")
    return value


def _number(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(float(value)):  # type: ignore[arg-type]
        raise ValueError(f"{value!r} is no number")
    return float(value)  # type: ignore[arg-type]
