"""The index of a large gallery: what it finds, and that it is whole or not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from tests.gallery.conftest import CALIBRATION
from voxedge.errors import MissingExtra
from voxedge.gallery import file, neighbours
from voxedge.gallery.gallery import Gallery
from voxedge.gallery.neighbours import NeighbourIndex, keep_own, open_index, open_neighbours
from voxedge.gallery.people import Contents, EnrolledClip, GalleryModel, Person
from voxedge.gallery.search import ExactIndex

if find_spec("usearch") is None:  # not imported here: ONNX Runtime has to be loaded before it
    pytest.skip("the index of large galleries needs usearch", allow_module_level=True)

#: Builds an index of 20,000 rows, and says so just before it writes it.
_UPDATE = """
import sys
from pathlib import Path
from tests.gallery.test_neighbours import rows
from voxedge.gallery import neighbours

class Slow:
    def __init__(self, file): self.file = file
    def __getattr__(self, name): return getattr(self.file, name)
    def write(self, data):
        for start in range(0, len(data), 20_000):
            self.file.write(data[start : start + 20_000])
            self.file.flush()
            print(start, flush=True)

from contextlib import contextmanager
atomic_write = neighbours.atomic_write
@contextmanager
def slowly(path, like):
    with atomic_write(path, like) as file:
        yield Slow(file)
neighbours.atomic_write = slowly
neighbours.open_neighbours(rows(2_000, seed=1), Path(sys.argv[1]))
"""


def rows(count: int, width: int = 16, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def gallery(tmp_path):
    return tmp_path / "people.vxg"


def test_it_finds_what_all_comparisons_find(gallery):
    people, clips = rows(3_000), rows(50, seed=2)
    found, exact = open_neighbours(people, gallery).search(clips, 5), ExactIndex(people)
    expected = exact.search(clips, 5)
    same = [len(set(a) & set(b)) for a, b in zip(found.people, expected.people, strict=True)]
    assert np.sum(same) >= 0.99 * 5 * len(clips)
    for clip, cosines, best in zip(clips, found.cosines, found.people, strict=True):
        np.testing.assert_allclose(cosines, people[best] @ clip, atol=1e-6)
        assert (np.diff(cosines) <= 0).all()
    assert found.everyone is None
    (index,) = gallery.parent.iterdir()
    assert index.stat().st_mode & 0o777 == 0o600


def test_fewer_people_than_wanted(gallery):
    found = open_neighbours(rows(3), gallery).search(rows(2, seed=1), 5)
    assert found.people.shape == found.cosines.shape == (2, 3)


def test_of_equals_the_first_one_comes_first(gallery):
    people = np.repeat(rows(1), 20, axis=0)
    assert open_neighbours(people, gallery).search(people[:1], 3).people.tolist() == [[0, 1, 2]]


def test_the_number_of_people_decides(gallery, monkeypatch):
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 100)
    assert isinstance(open_index(rows(100), gallery), ExactIndex)
    said = []
    assert isinstance(open_index(rows(101), gallery, said.append), NeighbourIndex)
    assert said == ["building the index of 101 people, which takes minutes"]


def test_it_is_built_once(gallery, monkeypatch):
    people = rows(500)
    first = open_neighbours(people, gallery).search(people[:4], 2)
    monkeypatch.setattr(neighbours, "build", lambda _: pytest.fail("built again"))
    second = open_neighbours(people, gallery).search(people[:4], 2)
    assert first.people.tolist() == second.people.tolist()


def test_other_people_have_another_index(gallery):
    open_neighbours(rows(300), gallery)
    (old,) = gallery.parent.iterdir()
    other = rows(300, seed=5)
    assert open_neighbours(other, gallery).search(other[7:8], 1).people.tolist() == [[7]]
    (new,) = gallery.parent.iterdir()
    assert old != new


@pytest.mark.parametrize("damage", [b"", b"nothing", None])
def test_a_damaged_index_is_built_again(gallery, damage):
    people = rows(300)
    open_neighbours(people, gallery)
    (path,) = keep_own(people, gallery)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert open_neighbours(people, gallery).search(people[9:10], 1).people.tolist() == [[9]]
    (path,) = keep_own(people, gallery)
    assert path.read_bytes() == whole


def test_killed_during_an_update(gallery):
    """While the new index is half written, the gallery stands, and so does what is built next."""
    before = rows(200)
    open_neighbours(before, gallery)
    command = [sys.executable, "-c", _UPDATE, str(gallery)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "0\n"
        assert process.stdout.readline() == "20000\n"
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    (half,) = gallery.parent.iterdir()  # the old index was of other people, and is deleted first
    assert half.name.startswith(".people.vxg.")
    assert half.stat().st_size >= 20_000
    people = rows(2_000, seed=1)
    assert open_neighbours(people, gallery).search(people[5:6], 1).people.tolist() == [[5]]
    (whole,) = gallery.parent.iterdir()
    assert whole.name.endswith(".index")
    assert [whole] == keep_own(people, gallery)


def test_without_a_place_for_it_it_stays_in_memory(gallery, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(neighbours, "_write", full)
    people = rows(300)
    assert open_neighbours(people, gallery).search(people[3:4], 1).people.tolist() == [[3]]
    assert not list(gallery.parent.iterdir())


def test_without_usearch_the_extra_is_named(gallery, monkeypatch):
    monkeypatch.setitem(sys.modules, "usearch", None)
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(MissingExtra) as caught:
        open_neighbours(rows(10), gallery)
    assert "[search]" in caught.value.hint


def test_a_gallery_of_many_people(spectrum_model, identifier, gallery, monkeypatch):
    """The same names as by all comparisons; a removed person's index goes with the person."""
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 100)
    model = GalleryModel.of(identifier.metadata, "spectrum.onnx")
    people = tuple(
        Person(f"p{n}", (EnrolledClip("a", 2, 1, row),)) for n, row in enumerate(rows(150, 80))
    )
    file.write(gallery, Contents(model, people, CALIBRATION))
    clip = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    many = Gallery(gallery, identifier)
    answer = many.identify(clip)
    assert list(gallery.parent.glob("*.index"))
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 1_000)
    exact = Gallery(gallery, identifier).identify(clip)
    assert [m.speaker for m in answer.matches] == [m.speaker for m in exact.matches]
    assert (answer.speaker, answer.reason) == (exact.speaker, exact.reason)
    assert answer.known == pytest.approx(exact.known, abs=1e-6)
    assert (answer.predictions, len(exact.predictions)) == ((), 5)  # which take all cosines
    many.remove("p7")
    assert not list(gallery.parent.glob("*.index"))
