"""Taking the people of other galleries: what is joined, and what is refused by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from voxedge.errors import AnotherVoice, ForeignModel, NameTaken, TooClose
from voxedge.gallery import file
from voxedge.gallery.gallery import Gallery
from voxedge.gallery.people import Contents, EnrolledClip, GalleryModel, Person

from .conftest import CALIBRATION

MODEL = GalleryModel("a" * 64, "net.onnx", "", 16_000, 2)


def at(name: str, *degrees: float) -> Person:
    """A person whose clips are directions in a plane."""
    angles = np.radians(degrees)
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return Person(
        name, tuple(EnrolledClip(f"{d}.wav", 2, 1, r) for d, r in zip(degrees, rows, strict=True))
    )


@pytest.fixture
def two(tmp_path):
    """Writes the people of this device and of another one; this device's gallery, and its file."""

    def write(own, others, calibration=CALIBRATION):
        for name, people in (("own.vxg", own), ("other.vxg", others)):
            file.write(tmp_path / name, Contents(MODEL, tuple(people), calibration))
        return Gallery(tmp_path / "own.vxg"), tmp_path / "other.vxg"

    return write


def clips(gallery: Gallery) -> dict[str, list[str]]:
    """The names of the files of each person's clips, as they stand in the gallery's file."""
    people = file.read(gallery.path).people
    return {person.name: [clip.file for clip in person.clips] for person in people}


def test_people_of_another_device_are_added(two):
    gallery, other = two([at("ada", 0, 5)], [at("ben", 120), at("cleo", 240)])
    (found,) = gallery.import_people([other])
    assert (found.added, found.joined, found.known, found.checked) == (
        ("ben", "cleo"),
        (),
        (),
        True,
    )
    assert clips(gallery) == {"ada": ["0.wav", "5.wav"], "ben": ["120.wav"], "cleo": ["240.wav"]}
    assert gallery.names == ("ada", "ben", "cleo")
    (again,) = gallery.import_people([other])  # changes nothing
    assert (again.added, again.known) == ((), ("ben", "cleo"))


def test_one_name_is_joined_if_it_is_said(two):
    gallery, other = two([at("ada", 0, 5)], [at("ada", 5, 10), at("ben", 120)])
    before = gallery.path.read_bytes()
    with pytest.raises(NameTaken, match="both galleries have other clips of ada") as caught:
        gallery.import_people([other])
    assert "--join" in caught.value.hint
    assert gallery.path.read_bytes() == before
    (found,) = gallery.import_people([other], join=True)
    assert (found.added, found.joined) == (("ben",), ("ada",))
    assert clips(gallery) == {"ada": ["0.wav", "5.wav", "10.wav"], "ben": ["120.wav"]}


def test_one_name_of_two_voices_is_refused(two):
    gallery, other = two([at("ada", 0, 5, 10)], [at("ada", 120)])
    before = gallery.path.read_bytes()
    with pytest.raises(AnotherVoice, match=r"in other\.vxg another voice has the same name: ada"):
        gallery.import_people([other], join=True)
    assert gallery.path.read_bytes() == before
    gallery.import_people([other], join=True, force=True)
    assert len(clips(gallery)["ada"]) == 4


def test_one_voice_of_two_names_is_refused(two):
    """0.5 is the cosine of 60 degrees, which 1 in 50 strangers reach; the line is the strictest."""
    gallery, other = two([at("ada", 0)], [at("ben", 61), at("eve", 59), at("zoe", 2)])
    before = gallery.path.read_bytes()
    with pytest.raises(TooClose) as caught:
        gallery.import_people([other])
    assert caught.value.message == (
        "of other.vxg and the gallery these sound alike (cosine): eve and ada (0.52), zoe and ada"
        " (1.00)"
    )
    assert gallery.path.read_bytes() == before
    (found,) = gallery.import_people([other], force=True)
    assert (found.added, found.checked) == (("ben", "eve", "zoe"), False)


def test_names_that_look_the_same_are_refused(two):
    gallery, other = two([at("ada", 0)], [at("Ada ", 120)])
    with pytest.raises(NameTaken, match="'Ada ' and 'ada' cannot be told apart"):
        gallery.import_people([other], join=True, force=True)


def test_without_a_threshold_voices_are_not_compared(two):
    gallery, other = two([at("ada", 0)], [at("eve", 1)], calibration=None)
    (found,) = gallery.import_people([other])
    assert not found.checked
    assert gallery.names == ("ada", "eve")


def test_another_model_is_refused(two, tmp_path):
    gallery, _ = two([at("ada", 0)], [])
    foreign = Contents(replace(MODEL, digest="b" * 64, file="x.onnx"), (at("ben", 120),))
    file.write(tmp_path / "foreign.vxg", foreign)
    with pytest.raises(ForeignModel, match=r"foreign\.vxg was made with x\.onnx"):
        gallery.import_people([tmp_path / "foreign.vxg"])


def test_several_galleries_make_a_new_one(two, tmp_path):
    gallery, other = two([at("ada", 0)], [at("ben", 120)])
    new = Gallery(tmp_path / "all.vxg")
    found = new.import_people([gallery.path, other])
    assert [each.added for each in found] == [("ada",), ("ben",)]
    contents = file.read(new.path)
    assert (contents.names, contents.calibration) == (("ada", "ben"), CALIBRATION)
    file.write(other, Contents(MODEL, (at("eve", 1),), CALIBRATION))
    with pytest.raises(TooClose):  # of the galleries among each other
        Gallery(tmp_path / "third.vxg").import_people([gallery.path, other])
    assert not (tmp_path / "third.vxg").exists()
