"""Changing a gallery: removing, renaming, merging, migrating, several processes at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.gallery.conftest import PITCHES, tone
from voxedge import Gallery
from voxedge.errors import (
    AnotherVoice,
    ForeignModel,
    GalleryBusy,
    GalleryError,
    NameTaken,
    UnknownPerson,
    UsageError,
)
from voxedge.files import locked
from voxedge.inference.identifier import Identifier


def test_removing_leaves_no_trace(people):
    people.enroll("Zoë Trace", [tone(3500, seed=s) for s in range(2)], keep_clips=True)
    person = people.contents.person("Zoë Trace")
    traces = [b"Zo", b"Trace", person.mean.tobytes()]
    for clip in person.clips:
        traces += [
            clip.embedding.tobytes(),
            clip.embedding[:4].tobytes(),
            clip.samples.tobytes()[:64],
        ]
    data = people.path.read_bytes()
    assert all(trace in data for trace in traces[:2] + traces[3:])
    people.remove("Zoë Trace")
    data = people.path.read_bytes()
    assert not any(trace in data for trace in traces)
    assert people.names == ("ada", "ben", "cleo")
    assert list(people.path.parent.iterdir()) == [people.path]  # no lock, no temporary file


def test_removing_through_a_link_changes_the_file(people, tmp_path):
    link = tmp_path / "link.vxg"
    link.symlink_to(people.path)
    Gallery(link).remove("ada")
    assert link.is_symlink()
    assert b"ada" not in people.path.read_bytes()


def test_unknown_people(people):
    with pytest.raises(UnknownPerson, match="nobody in the gallery is called 'eve'"):
        people.remove("eve")
    with pytest.raises(UnknownPerson, match="did you mean 'ada'"):
        people.verify("Ada", tone(300))


def test_what_another_process_changed_is_seen_after_reload(people):
    other = Gallery(people.path, people.identifier)
    assert people.identify(tone(900, seed=4)).speaker == "ben"
    other.remove("ben")
    assert people.identify(tone(900, seed=4)).speaker == "ben"
    people.reload()
    assert people.identify(tone(900, seed=4)).speaker is None
    other.enroll("bo", [tone(900, seed=s) for s in range(3)])
    people.rename("ada", "Ada")  # reads the file anew
    assert people.names == ("Ada", "cleo", "bo")
    assert people.identify(tone(900, seed=4)).speaker == "bo"


def test_renaming(people):
    people.rename("ada", "Ada")  # of case alone
    people.rename("ben", "Benjamin")
    assert people.names == ("Ada", "Benjamin", "cleo")
    with pytest.raises(NameTaken):
        people.rename("cleo", "ada")
    assert people.identify(tone(900, seed=4)).speaker == "Benjamin"


def test_merging(people):
    people.enroll("adele", [tone(300, seed=s) for s in (5, 6)], force=True)
    assert len(people.merge("ada", ["adele"]).clips) == 5
    assert people.names == ("ada", "ben", "cleo")
    with pytest.raises(AnotherVoice, match="ada and ben do not sound like one person") as caught:
        people.merge("ada", ["ben"])
    assert caught.value.hint == "--force merges them all the same"
    with pytest.raises(UsageError):
        people.merge("ada", ["ada"])
    people.merge("ada", ["ben"], force=True)
    assert people.names == ("ada", "cleo")


def test_another_model_is_refused_and_kept_clips_migrate(people, other_model):
    other = Identifier(other_model, threads=1)
    before = people.path.read_bytes()
    for attempt in (
        lambda gallery: gallery.identify(tone(300)),
        lambda gallery: gallery.enroll("dan", [tone(3500)]),
        lambda gallery: gallery.verify("ada", tone(300)),
    ):
        with pytest.raises(ForeignModel, match=r"spectrum\.onnx.* is another model") as caught:
            attempt(Gallery(people.path, other))
        assert "enrol the people anew" in caught.value.hint
    with pytest.raises(GalleryError, match="ada, ben, cleo were not kept"):
        people.migrate(other)
    assert people.path.read_bytes() == before
    for name in people.names:
        people.remove(name)
        people.enroll(name, [tone(PITCHES[name], seed=s) for s in range(2)], keep_clips=True)
    with pytest.raises(ForeignModel, match="other model") as caught:
        Gallery(people.path, other).identify(tone(300))
    assert "gallery migrate --model other.onnx" in caught.value.hint
    people.migrate(other)
    answer = Gallery(people.path, other).identify(tone(300, seed=4), cosine=0.5)
    assert answer.speaker == "ada"
    vector = other.embed(tone(300, seed=0)).embedding
    assert float(people.contents.person("ada").clips[0].embedding @ vector) > 0.9999
    assert people.contents.calibration is None  # which was of the other model


_ENROLL = """
import sys
from tests.gallery.conftest import tone
from voxedge import Gallery, Identifier
path, model, name, *hertz = sys.argv[1:]
gallery = Gallery(path, Identifier(model, any_sound=True))
print("ready", flush=True)
sys.stdin.readline()
for number, hz in enumerate(hertz):
    gallery.enroll(f"{name}{number}", [tone(float(hz), seed=s) for s in range(2)])
"""


def test_two_processes_enrol_at_once(gallery, spectrum_model):
    gallery.path.unlink()  # both make the file
    rivals = []
    for name, hertz in (("a", ("300", "900", "1500")), ("b", ("2200", "3000", "4200"))):
        words = [
            sys.executable,
            "-c",
            _ENROLL,
            str(gallery.path),
            str(spectrum_model),
            name,
            *hertz,
        ]
        rivals.append(
            subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
    for rival in rivals:
        assert rival.stdout.readline() == "ready\n"
    for rival in rivals:
        rival.stdin.write("\n")
        rival.stdin.flush()
    for rival in rivals:
        rival.communicate()
        assert rival.returncode == 0
    gallery.reload()
    assert sorted(gallery.names) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert list(gallery.path.parent.iterdir()) == [gallery.path]


def test_a_gallery_that_is_held_is_busy(people, monkeypatch):
    monkeypatch.setattr("voxedge.gallery.file.WAIT", 0.1)
    with locked(people.path, 1), pytest.raises(GalleryBusy, match="another process"):
        people.remove("ada")
    assert "ada" in Gallery(people.path).names
    people.remove("ada")
