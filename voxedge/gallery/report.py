"""What ``voxedge gallery check`` finds, and the tables for other programs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from voxedge.errors import UsageError
from voxedge.files import atomic_write
from voxedge.gallery import file
from voxedge.gallery.changes import close_one, odd_ones
from voxedge.gallery.people import Contents
from voxedge.gallery.signature import signer
from voxedge.gallery.thresholds import DEFAULT_ACCEPT, own_trials, threshold
from voxedge.inference.prediction import ThresholdRecord

EXPORTS = (".json", ".csv", ".npz", ".vxg")


class PersonRecord(TypedDict):
    """A person in JSON."""

    name: str
    clips: int
    speech_seconds: float
    percent: int
    kept: int  # clips whose samples are kept


class Finding(TypedDict):
    """Something that is wrong with a person."""

    name: str
    code: str  # another_voice, too_close, incomplete
    message: str


class GalleryReport(TypedDict):
    """What ``voxedge gallery check --json`` prints."""

    path: str
    model: str
    people: int
    clips: int
    threshold: ThresholdRecord | None
    own_below: float | None  # share of the enrolled clips that the threshold would not name
    findings: list[Finding]


def people_records(contents: Contents) -> list[PersonRecord]:
    """The people, in the order of their enrolment."""
    return [
        {
            "name": person.name,
            "clips": len(person.clips),
            "speech_seconds": round(person.speech, 3),
            "percent": person.percent,
            "kept": sum(clip.samples is not None for clip in person.clips),
        }
        for person in contents.people
    ]


def check(contents: Contents, path: str, accept: float = DEFAULT_ACCEPT) -> GalleryReport:
    """Compare all clips of a gallery with each other.

    ``own_below`` is of clips compared with the person's other clips: where it is large, the people
    and strangers overlap, and no threshold is right.
    """
    line = threshold(contents, accept)
    own = own_trials(contents).own
    below = None if line is None or not len(own) else float((own < line.cosine).mean())
    return {
        "path": path,
        "model": contents.model.file,
        "people": len(contents.people),
        "clips": sum(len(person.clips) for person in contents.people),
        "threshold": line and line.to_dict(),
        "own_below": below if below is None else round(below, 4),
        "findings": _findings(contents),
    }


def _findings(contents: Contents) -> list[Finding]:
    findings: list[Finding] = []
    for person in contents.people:
        for clip in odd_ones(contents, person):
            message = f"{clip.file} does not sound like the person's other clips"
            findings.append({"name": person.name, "code": "another_voice", "message": message})
        close = close_one(contents, person)
        if close is not None:
            message = f"sounds like {close[0].name} (cosine {close[1]:.2f})"
            findings.append({"name": person.name, "code": "too_close", "message": message})
        if person.percent < 100:
            message = f"{person.speech:.1f} s of speech, {person.percent} %"
            findings.append({"name": person.name, "code": "incomplete", "message": message})
    return findings


def export(contents: Contents, path: Path, key: Path | None = None) -> None:
    """Write the people's embeddings for other programs: JSON, CSV or NumPy's ``.npz``.

    ``.vxg`` is a gallery for other devices: without the samples that were kept, and signed if there
    is a key.

    Args:
        contents: the gallery.
        path: of the file.
        key: the file of a private key.

    Raises:
        UsageError: another ending, or no key that signs.
        MissingExtra: ``cryptography`` is not installed.
        OSError: the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in EXPORTS:
        raise UsageError(f"{path} ends in none of {', '.join(EXPORTS)}")
    if suffix == ".vxg":
        file.write(path, contents.without_samples(), None if key is None else signer(key))
        return
    if key is not None:
        raise UsageError("only a gallery is signed", "voxedge gallery export OUT.vxg --sign KEY")
    clips = [(person.name, clip) for person in contents.people for clip in person.clips]
    names = [name for name, _ in clips]
    rows = np.stack([clip.embedding for _, clip in clips]) if clips else np.zeros((0, 0))
    with atomic_write(path, like=path) as out:
        if suffix == ".npz":
            people = {"people": np.array(contents.names), "means": contents.means}
            of_clips = {"names": np.array(names), "embeddings": rows}
            digest = np.array(contents.model.digest)
            np.savez(out, allow_pickle=False, model=digest, **people, **of_clips)
        else:
            text = _json(contents) if suffix == ".json" else _csv(names, rows)
            out.write(text.encode())


def _json(contents: Contents) -> str:
    value: dict[str, Any] = {
        "model": contents.model.digest,
        "people": [
            {
                "name": person.name,
                "mean": person.mean.tolist(),
                "clips": [
                    {"file": clip.file, "embedding": clip.embedding.tolist()}
                    for clip in person.clips
                ],
            }
            for person in contents.people
        ],
    }
    return json.dumps(value, ensure_ascii=False) + "\n"


def _csv(names: list[str], rows: Any) -> str:  # noqa: ANN401 - [C, E]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    width = rows.shape[1]
    writer.writerow(["name", *(f"e{number}" for number in range(width))])
    for name, row in zip(names, rows, strict=True):
        writer.writerow([name, *(f"{value:.9g}" for value in row)])
    return text.getvalue()
