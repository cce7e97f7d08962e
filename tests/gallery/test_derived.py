"""A large gallery is mapped into memory, and its people's means lie beside it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from voxedge.errors import GalleryError
from voxedge.gallery import file
from voxedge.gallery.gallery import Gallery
from voxedge.gallery.people import (
    Contents,
    EnrolledClip,
    GalleryModel,
    Person,
    StoredPeople,
    means_of,
)

MODEL = GalleryModel("a" * 64, "net.onnx", "", 16_000, 16)


def people(count: int, kept: bool = False) -> tuple[Person, ...]:
    """People with one to three clips each, of a few samples if they are kept."""
    random = np.random.default_rng(0)
    return tuple(
        Person(
            f"p{number}",
            tuple(
                EnrolledClip(
                    f"{clip}.wav",
                    2.0 + clip / 8,
                    1.5,
                    _unit(random.normal(size=16)),
                    np.arange(number + clip + 1, dtype=np.int16) if kept else None,
                )
                for clip in range(1 + number % 3)
            ),
        )
        for number in range(count)
    )


def _unit(vector: np.ndarray) -> np.ndarray:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.fixture
def mapped(tmp_path, monkeypatch):
    """A gallery of 50 people that is taken for a large one."""
    monkeypatch.setattr(file, "MAPPED_FROM", 1)
    monkeypatch.setattr("voxedge.gallery.people.BLOCK", 8)
    monkeypatch.setattr("voxedge.gallery.derived.BLOCK", 8)
    path = tmp_path / "people.vxg"
    file.write(path, Contents(MODEL, people(50)))
    return path


def means_beside(path):
    return sorted(path.parent.glob("*.means"))


def test_it_holds_what_a_small_one_holds(mapped):
    found = file.read(mapped)
    assert isinstance(found.people, StoredPeople)
    assert found == Contents(MODEL, people(50)) == found.in_memory()
    assert (found.clips, len(found.people), found.names[3]) == (99, 50, "p3")
    assert found.find("p7") == people(50)[7]
    assert found.find("p70") is None
    assert found.people[2:4] == people(50)[2:4]
    assert found.people[-1] == people(50)[49]
    with pytest.raises(IndexError):
        found.people[50]


def test_means_are_the_same_to_the_last_bit(mapped):
    expected = Contents(MODEL, people(50)).means
    first = file.read(mapped).means  # writes the file
    second = file.read(mapped).means  # maps it
    for means in (first, second):
        np.testing.assert_array_equal(means, expected)
        assert not means.flags.owndata
    for person, row in zip(people(50), expected, strict=True):
        mean = person.embeddings.astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-6)


def test_one_file_of_means_that_goes_with_the_people(mapped):
    assert means_beside(mapped) == []
    file.read(mapped).means  # noqa: B018
    (path,) = means_beside(mapped)
    assert path.stat().st_size == 4 * 16 * 50
    left = path.with_name(f".{path.name}.abcd1234")
    left.write_bytes(b"of a killed process")
    Gallery(mapped).remove("p3")
    assert means_beside(mapped) == []
    assert list(mapped.parent.iterdir()) == [mapped]
    assert "p3" not in file.read(mapped).names


def test_removing_leaves_no_trace_in_a_mapped_gallery(mapped):
    file.write(mapped, Contents(MODEL, people(50, kept=True)))
    gallery = Gallery(mapped)
    person = gallery.contents.person("p32")
    traces = [person.mean.tobytes(), person.clips[1].embedding[:4].tobytes(), b'"p32"']
    gallery.contents.means  # noqa: B018
    gallery.remove("p32")
    for path in mapped.parent.iterdir():
        assert not any(trace in path.read_bytes() for trace in traces)


def test_kept_samples_and_changes(mapped):
    file.write(mapped, Contents(MODEL, people(20, kept=True)))
    found = file.read(mapped)
    np.testing.assert_array_equal(found.people[7].clips[1].samples, np.arange(9))
    gallery = Gallery(mapped)
    gallery.rename("p7", "seven")
    assert gallery.names[7] == "seven"
    again = file.read(mapped)
    assert again.find("p7") is None
    np.testing.assert_array_equal(again.person("seven").clips[1].samples, np.arange(9))


@pytest.mark.parametrize("damage", ["cut", "other", "empty"])
def test_damaged_means_are_written_anew(mapped, damage):
    expected = file.read(mapped).means.copy()
    (path,) = means_beside(mapped)
    whole = path.read_bytes()
    wrong = {"cut": whole[:-4], "other": b"\0" * len(whole), "empty": b""}[damage]
    path.unlink()
    path.write_bytes(wrong)
    np.testing.assert_array_equal(file.read(mapped).means, expected)
    assert path.read_bytes() == whole


def test_without_a_place_for_means_they_stay_in_memory(mapped, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("voxedge.gallery.derived.atomic_write", full)
    np.testing.assert_array_equal(file.read(mapped).means, Contents(MODEL, people(50)).means)
    assert means_beside(mapped) == []


def test_a_cut_and_a_changed_file_are_refused(mapped):
    whole = mapped.read_bytes()
    for wrong in (whole[: len(whole) // 2], whole[:-1] + b"\1", whole[:40], b"\n", b"x" * 300):
        mapped.write_bytes(wrong)
        with pytest.raises(GalleryError):
            file.read(mapped)


def test_embeddings_begin_at_a_multiple_of_64_bytes(mapped):
    """Else NumPy would copy them to search."""
    data = mapped.read_bytes()
    assert (data.index(b"\n", data.index(b"\n") + 1) + 1) % 64 == 0
    assert file.read(mapped).people._table.embeddings.flags.aligned


def test_a_person_is_the_same_whoever_else_there_is():
    rows = np.random.default_rng(1).normal(size=(9_000, 4)).astype(np.float32)
    bounds = np.arange(0, 9_001, 2)
    means = means_of(rows, bounds)
    for person in (0, 1, 4_095, 4_096, 4_499):
        own = means_of(rows[2 * person : 2 * person + 2], np.array([0, 2]))
        np.testing.assert_array_equal(own[0], means[person])


def test_processes_share_the_pages(tmp_path):
    """Of a megabyte of embeddings and one of means, hardly any is a process's own."""
    if sys.platform != "linux":
        pytest.skip("/proc/self/smaps is Linux's")
    path = tmp_path / "people.vxg"
    random = np.random.default_rng(0)
    rows = random.normal(size=(4_000, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    model = GalleryModel("a" * 64, "net.onnx", "", 16_000, 64)
    clips = [EnrolledClip("a.wav", 2, 1, row) for row in rows]
    file.write(
        path, Contents(model, tuple(Person(f"p{n}", (each,)) for n, each in enumerate(clips)))
    )
    code = f"""
from pathlib import Path
from voxedge.gallery import file
file.MAPPED_FROM = 1
contents = file.read(Path({str(path)!r}))
assert contents.means @ contents.means[7] is not None
mine, own = False, 0
for line in Path("/proc/self/smaps").read_text().splitlines():
    if "-" in line.split()[0]:
        mine = "people.vxg" in line
    elif mine and line.startswith("Private_Dirty"):
        own += int(line.split()[1])
print(own)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 0  # kB
