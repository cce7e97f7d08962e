"""What is fuzzed: functions that take any bytes, and fail if something is lost or made up.

Each gives the bytes to one of the doors through which files of strangers come. What it may end in
is a right answer or one of the named errors of that door; anything else is a fault of voxedge.
"""

from __future__ import annotations

import json
import math
import tempfile
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults import make
from tests.fuzz import seeds
from voxedge.audio.limits import Limits
from voxedge.data.manifest import read_manifest
from voxedge.errors import AudioError, CorpusError, GalleryError, ModelError, UsageError
from voxedge.gallery import file
from voxedge.gallery.gallery import Gallery
from voxedge.inference.identifier import Identifier
from voxedge.inference.prediction import Prediction
from voxedge.model_file.metadata import Metadata
from voxedge.model_file.reader import read_model
from voxedge.model_file.seal import digest
from voxedge.model_file.skeleton import WireError, skeleton
from voxedge.train.recipe import Recipe, load

_SHARE_SEARCHED = 8  # of so many clips one is searched for speech, which takes milliseconds
_LIMITS = Limits(max_seconds=60.0)


@cache
def folder() -> Path:
    """A folder for the files of this process."""
    made = tempfile.TemporaryDirectory(prefix="voxedge-fuzz-")
    _KEPT.append(made)
    return Path(made.name)


_KEPT: list[object] = []  # deleted when the process ends


@cache
def model_path() -> Path:
    """A minimal model file."""
    path = folder() / "small.onnx"
    path.write_bytes(make.small_model())
    return path


@cache
def small_model(any_sound: bool = True) -> Identifier:
    """That file, opened."""
    return Identifier(model_path(), device="cpu", threads=1, limits=_LIMITS, any_sound=any_sound)


def identify(data: bytes) -> None:
    """A clip is answered or refused; every figure of the answer is finite."""
    model = small_model(any_sound=bool(len(data) % _SHARE_SEARCHED))
    try:
        answer = model.identify(data)
    except AudioError:
        return
    check_answer(answer)


def check_answer(answer: Prediction) -> None:
    """An answer is whole: numbers are finite, probabilities are some, JSON can hold it."""
    record = answer.to_dict()
    check_finite(record)
    assert answer.speaker is None or answer.reason is None
    shares = [score.probability for score in answer.predictions]
    assert all(0 <= share <= 1 for share in shares)
    assert sum(shares) < 1 + 1e-5
    assert shares == sorted(shares, reverse=True)
    if answer.embedding is not None:
        assert abs(float(np.linalg.norm(answer.embedding)) - 1) < 1e-3


def check_finite(value: Any) -> None:
    """Every number in a JSON value is finite, and the value can be written as UTF-8."""
    json.dumps(value, allow_nan=False).encode()
    if isinstance(value, float):
        assert math.isfinite(value)
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            check_finite(part)


def open_model(data: bytes) -> None:
    """A model file is refused, or it runs; once as it comes, once under a right seal."""
    path = folder() / "fuzzed.onnx"
    for content in (data, _sealed(data)):
        if content is None:
            continue
        path.write_bytes(content)
        try:
            read = read_model(path)
            assert Metadata.from_json(read.metadata.to_json()) == read.metadata
            model = Identifier(path, device="cpu", threads=1, any_sound=True)
            answer = model.embed(make.sound(0.5, model.sample_rate))
        except (ModelError, AudioError):  # its own rate or least length may refuse the sound
            continue
        check_answer(answer)


def _sealed(data: bytes) -> bytes | None:
    """The file with its digest corrected; None if it has no metadata that are read."""
    try:
        places = [(start, end) for key, start, end in skeleton(data).metadata if key == b"voxedge"]
        (start, end) = places[-1]
        written = Metadata.from_json(data[start:end]).digest
        right = digest(data, start, end, written)
    except (WireError, ModelError, IndexError):
        return None
    at = data.index(written.encode(), start, end)
    return data[:at] + right.encode() + data[at + len(right) :]


def read_metadata(data: bytes) -> None:
    """Metadata is refused, or read back as it is written."""
    try:
        metadata = Metadata.from_json(data)
    except ModelError:
        return
    assert Metadata.from_json(metadata.to_json()) == metadata
    assert metadata.window > 0


def read_gallery(data: bytes) -> None:
    """A gallery is refused, or is read back as it is written, and names people."""
    path = folder() / "fuzzed.vxg"
    for content in (data, seeds.with_checksum(data)):
        try:
            contents = file.decode(content)
        except GalleryError:
            continue
        again = file.decode(file.encode(contents))
        assert again.names == contents.names
        assert np.isfinite(contents.means).all()
        path.write_bytes(content)
        gallery = Gallery(path, small_model())
        try:
            answer = gallery.identify(seeds.SOUND, sample_rate=seeds.RATE)
        except GalleryError:  # another model's, or nobody's
            continue
        check_answer(answer)
        assert gallery.names == contents.names


def read_table(data: bytes) -> None:
    """A table of clips is refused, or its clips have names and speakers."""
    path = folder() / "fuzzed.csv"
    path.write_bytes(data)
    try:
        manifest = read_manifest(path)
    except CorpusError:
        return
    assert len({clip.name for clip in manifest.clips}) == len(manifest.clips) > 0
    for speaker in manifest.speakers:
        assert speaker.strip()
        speaker.encode()


def read_recipe(data: bytes) -> None:
    """A recipe is refused, or read back as it is written."""
    path = folder() / "fuzzed.toml"
    path.write_bytes(data)
    try:
        recipe = load(str(path))
    except UsageError:
        return
    assert Recipe.from_dict(tomllib.loads(recipe.to_toml())) == recipe


def galleries() -> Iterable[bytes]:
    """Galleries that were made with the minimal model."""
    return seeds.galleries(read_model(model_path()).metadata.digest)
