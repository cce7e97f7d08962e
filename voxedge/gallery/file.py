"""The file of a gallery: two lines of text, then numbers (docs/enroll.md, "The file").

The first line names the format, its schema and the SHA-256 of all that follows; the second is one
JSON object; then come the embeddings of all clips as float32 and the kept samples as int16, both
little-endian. So it is read in ten lines of Python, is never half-read, and runs no code.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from voxedge.errors import GalleryError, GalleryNotFound
from voxedge.files import atomic_write
from voxedge.gallery.calibration import Calibration
from voxedge.gallery.neighbours import keep_own
from voxedge.gallery.people import Contents, EnrolledClip, GalleryModel, Person
from voxedge.install import DISTRIBUTION
from voxedge.names import is_blank, lookalikes

MAGIC = "voxedge-gallery"
SCHEMA = 1

_MAX_FILE = 4 << 30  # bytes
_UNIT = 1e-3  # that the length of an embedding may differ from 1
_FIRST_LINE = re.compile(rf"{MAGIC} (\d{{1,6}}) ([0-9a-f]{{64}})")


def encode(contents: Contents) -> bytes:
    """A gallery as the bytes of its file."""
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
    rest = b"".join(
        (
            json.dumps(header, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace"),
            b"\n",
            *(clip.embedding.astype("<f4").tobytes() for clip in clips),
            *(clip.samples.astype("<i2").tobytes() for clip in clips if clip.samples is not None),
        )
    )
    return f"{MAGIC} {SCHEMA} {hashlib.sha256(rest).hexdigest()}\n".encode() + rest


def decode(data: bytes, name: str = "the gallery") -> Contents:
    """Read the bytes of a gallery's file, none of which is trusted.

    Raises:
        GalleryError: they are not a whole gallery, or of a newer schema.
    """
    first, _, rest = data.partition(b"\n")
    found = _FIRST_LINE.fullmatch(first.decode("ascii", "replace"))
    if found is None:
        raise GalleryError(f"{name} is not a voxedge gallery")
    if int(found[1]) > SCHEMA:
        raise GalleryError(
            f"{name} is of schema {found[1]}; this voxedge reads up to {SCHEMA}",
            f"upgrade {DISTRIBUTION}",
        )
    if hashlib.sha256(rest).hexdigest() != found[2]:
        raise GalleryError(
            f"{name} is damaged: its content does not match its checksum", "copy it again"
        )
    header, _, body = rest.partition(b"\n")
    try:
        return _contents(json.loads(header), body)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise GalleryError(f"{name} is refused: {error}") from None


def read(path: Path) -> Contents:
    """Read a gallery.

    Raises:
        GalleryNotFound: there is no such file.
        GalleryError: it cannot be read, or is not a whole gallery.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except FileNotFoundError:
        raise GalleryNotFound(
            f"there is no gallery {path}", "enrol somebody: voxedge enroll NAME CLIP..."
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise GalleryError(f"{path} cannot be read: {reason}") from None
    if len(data) > _MAX_FILE:
        raise GalleryError(f"{path} is larger than {_MAX_FILE >> 30} GiB")
    return decode(data, path.name)


def write(path: Path, contents: Contents) -> None:
    """Replace a gallery's file as a whole; to be called under its lock.

    What a killed process left of an earlier version is deleted, and so is an index of other people:
    they may hold people who were removed since.

    Raises:
        OSError: the disk is full, or the folder read-only; the old file is as it was.
    """
    with atomic_write(path) as file:
        file.write(encode(contents))
    leftover = re.compile(rf"\.{re.escape(path.name)}\.\w{{8}}")
    for other in path.parent.iterdir():
        if leftover.fullmatch(other.name):
            with suppress(OSError):
                other.unlink()
    keep_own(contents.means, path)


def _contents(header: dict[str, Any], body: bytes) -> Contents:
    """The gallery of a header and the numbers behind it.

    Raises:
        ValueError, KeyError, TypeError: they do not fit together.
    """
    model = GalleryModel(**header["model"])
    texts = (model.digest, model.file, model.source)
    _require(all(isinstance(text, str) for text in texts), "its model is not described by text")
    _require(_size(model.sample_rate) > 0, "its sample rate is impossible")
    entries = [clip for person in header["people"] for clip in person["clips"]]
    sizes = [_size(clip["samples"]) for clip in entries]
    width = _size(model.embedding_dim)
    split = 4 * width * len(entries)
    _require(header["clips"] == len(entries), "its clips are not as many as it says")
    _require(len(body) == split + 2 * sum(sizes), "its size is not what its header says")
    rows = np.frombuffer(body[:split], "<f4").reshape(len(entries), width).astype(np.float32)
    norms = np.linalg.norm(rows, axis=1)
    _require(bool((np.abs(norms - 1) < _UNIT).all()), "an embedding is not of length 1")
    kept = np.split(np.frombuffer(body[split:], "<i2"), np.cumsum(sizes)[:-1]) if sizes else []
    clips = iter(
        EnrolledClip(
            str(entry["file"]),
            _number(entry["seconds"]),
            _number(entry["speech"]),
            row,
            samples.astype(np.int16) if len(samples) else None,
        )
        for entry, row, samples in zip(entries, rows, kept, strict=True)
    )
    people = tuple(
        Person(str(person["name"]), tuple(next(clips) for _ in person["clips"]))
        for person in header["people"]
    )
    names = [person.name for person in people]
    _require(all(person.clips for person in people), "a person without clips")
    _require(not any(map(is_blank, names)), "a name that cannot be seen")
    _require(len(set(names)) == len(names) and not lookalikes(names), "a name twice")
    found = header["calibration"]
    return Contents(model, people, None if found is None else Calibration.from_json(found))


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
