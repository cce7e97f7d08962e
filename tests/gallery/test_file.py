"""The file of a gallery: read back as it was written, or refused."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import stat
import subprocess
import sys

import numpy as np
import pytest

from docs.check import ROOT, code_blocks
from tests.gallery.conftest import CALIBRATION
from voxedge.errors import GalleryError, GalleryNotFound
from voxedge.gallery import file, report
from voxedge.gallery.people import Contents, EnrolledClip, GalleryModel, Person

MODEL = GalleryModel("ab" * 32, "net.onnx", "a paper", 16_000, 5)


def clip(name: str, seed: int, samples: int = 0) -> EnrolledClip:
    random = np.random.default_rng(seed)
    vector = random.normal(size=5)
    kept = random.integers(-32768, 32767, samples).astype(np.int16) if samples else None
    embedding = (vector / np.linalg.norm(vector)).astype(np.float32)
    return EnrolledClip(name, 2.5, 1.25, embedding, kept)


CONTENTS = Contents(
    MODEL,
    (
        Person("Zoë", (clip("a.wav", 0), clip("b\n.wav", 1, 7))),
        Person("ben", (clip("c.wav", 2, 3),)),
    ),
    CALIBRATION,
)
WHOLE = file.encode(CONTENTS)


def sealed(rest: bytes, schema: int = 1) -> bytes:
    digest = hashlib.sha256(rest).hexdigest()
    return f"voxedge-gallery {schema} {digest}\n".encode() + rest


def altered(**changes) -> bytes:
    """The file with other values in its header, and a right checksum."""
    header, _, body = WHOLE.partition(b"\n")[2].partition(b"\n")
    return sealed(json.dumps(json.loads(header) | changes).encode() + b"\n" + body)


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "people.vxg"
    file.write(path, CONTENTS)
    found = file.read(path)
    assert found == CONTENTS  # but for the numbers, which are not compared
    for person, own in zip(found.people, CONTENTS.people, strict=True):
        for read, written in zip(person.clips, own.clips, strict=True):
            np.testing.assert_array_equal(read.embedding, written.embedding)
            if written.samples is None:
                assert read.samples is None
            else:
                np.testing.assert_array_equal(read.samples, written.samples)


def test_a_new_gallery_is_its_owners_alone(tmp_path):
    path = tmp_path / "people.vxg"
    file.write(path, CONTENTS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)  # who shares it with a group keeps it shared
    file.write(path, CONTENTS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    for ending in report.EXPORTS:
        exported = tmp_path / f"exported{ending}"
        report.export(CONTENTS, exported)
        assert stat.S_IMODE(exported.stat().st_mode) == 0o600


def test_an_empty_gallery_is_read_back():
    assert file.decode(file.encode(Contents(MODEL))) == Contents(MODEL)


def test_ten_lines_of_python_read_it(tmp_path):
    (code,) = code_blocks(ROOT / "docs" / "enroll.md", "python")[1:]
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 10
    file.write(tmp_path / "people.vxg", CONTENTS)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for line, person in zip(lines, CONTENTS.people, strict=True):
        assert line.startswith(person.name)
        first = float(line.split("[")[1].split()[0])
        assert first == pytest.approx(person.embeddings.mean(axis=0)[0], rel=1e-5)


@pytest.mark.parametrize("length", range(0, len(WHOLE), 9))
def test_a_gallery_that_is_cut_off_is_refused(length):
    with pytest.raises(GalleryError):
        file.decode(WHOLE[:length])


@pytest.mark.parametrize("place", range(0, len(WHOLE), 7))
def test_a_changed_byte_is_noticed(place):
    damaged = bytearray(WHOLE)
    damaged[place] ^= 1
    with pytest.raises(GalleryError):
        file.decode(bytes(damaged))


def test_more_bytes_at_the_end_are_noticed():
    with pytest.raises(GalleryError, match="damaged"):
        file.decode(WHOLE + b"\0")


def test_a_newer_schema_is_refused():
    with pytest.raises(GalleryError, match="schema 2"):
        file.decode(sealed(WHOLE.partition(b"\n")[2], schema=2))


PEOPLE = json.loads(WHOLE.split(b"\n")[1])["people"]


@pytest.mark.parametrize(
    "changes",
    [
        {"clips": 2},
        {"people": PEOPLE[:1]},
        {"people": [PEOPLE[0], PEOPLE[1] | {"name": "zoë"}]},
        {"people": [PEOPLE[0], PEOPLE[1] | {"name": " "}]},
        {"people": [PEOPLE[0], {"name": "x", "clips": []}]},
        {"people": 3},
        {"model": {"digest": ""}},
        {"model": json.loads(WHOLE.split(b"\n")[1])["model"] | {"embedding_dim": 4}},
        {"model": json.loads(WHOLE.split(b"\n")[1])["model"] | {"embedding_dim": -1}},
        {"model": json.loads(WHOLE.split(b"\n")[1])["model"] | {"digest": 5}},
        {"model": json.loads(WHOLE.split(b"\n")[1])["model"] | {"sample_rate": 0}},
        {"calibration": {"cosines": [0.5, 0.4], "speakers": 1, "clips": 1, "corpus": ""}},
        {"calibration": {"cosines": [10**400], "speakers": 1, "clips": 1, "corpus": ""}},
        {"calibration": {"cosines": [0.5], "speakers": math.inf, "clips": 1, "corpus": ""}},
        {"people": [{"name": "x", "clips": [PEOPLE[1]["clips"][0] | {"seconds": 10**400}]}]},
    ],
)
def test_a_header_that_does_not_fit_is_refused(changes):
    with pytest.raises(GalleryError):
        file.decode(altered(**changes))


def test_embeddings_that_are_no_numbers_are_refused():
    header, _, body = WHOLE.partition(b"\n")[2].partition(b"\n")
    broken = np.full(5, np.nan, "<f4").tobytes() + body[20:]
    with pytest.raises(GalleryError, match="length 1"):
        file.decode(sealed(header + b"\n" + broken))


def test_no_file_and_a_folder_in_its_place(tmp_path):
    with pytest.raises(GalleryNotFound, match="enroll"):
        file.read(tmp_path / "people.vxg")
    with pytest.raises(GalleryError, match="cannot be read"):
        file.read(tmp_path)


def test_a_full_disk_leaves_the_old_gallery(tmp_path, monkeypatch):
    path = tmp_path / "people.vxg"
    file.write(path, Contents(MODEL))
    before = path.read_bytes()

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        file.write(path, CONTENTS)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_deleted(tmp_path):
    path = tmp_path / "people.vxg"
    left = tmp_path / ".people.vxg.abcd_123"
    near = [
        tmp_path / name
        for name in (".people.vxg.lock", ".people.vxg.2.abcd1234", "people.vxg.abcd1234")
    ]
    for each in (left, *near):
        each.write_bytes(WHOLE)
    file.write(path, CONTENTS)
    assert not left.exists()
    assert all(each.exists() for each in near)
