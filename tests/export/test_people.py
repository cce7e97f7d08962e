"""A gallery and its model file as one file, which answers as ``identify --gallery`` does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from voxedge.export import people as exporting
from voxedge.export.fold.clips import Clips
from voxedge.export.people import export_people

from tests.gallery.conftest import (
    CALIBRATION,
    PITCHES,
    tone,
    tones_taken_for_speech,
    write_other_model,
    write_spectrum_model,
)
from voxedge import Gallery, Identifier
from voxedge.errors import EmptyGallery, ForeignModel, ParityError, UsageError
from voxedge.gallery import file
from voxedge.gallery.people import Contents, EnrolledClip, GalleryModel, Person
from voxedge.inference.open_set import SHARES


@pytest.fixture(scope="module", autouse=True)
def _tones():
    with tones_taken_for_speech():
        yield


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """Ada, Ben and Cleo."""
    folder = tmp_path_factory.mktemp("people")
    identifier = Identifier(write_spectrum_model(folder / "spectrum.onnx"), threads=1)
    path = folder / "people.vxg"
    model = GalleryModel.of(identifier.metadata, "spectrum.onnx")
    file.write(path, Contents(model, calibration=CALIBRATION))
    made = Gallery(path, identifier)
    for name in ("ada", "ben", "cleo"):
        made.enroll(name, [tone(PITCHES[name], seed=n) for n in range(3)], keep_clips=name == "ada")
    return made


@pytest.fixture(scope="module")
def exported(gallery):
    return export_people(gallery, gallery.path.with_name("names.onnx"))


@pytest.fixture(scope="module")
def named(exported):
    return Identifier(exported.path, threads=1)


def changed(gallery, path, **changes):
    """Another gallery, with the same model file."""
    file.write(path, replace(gallery.contents, **changes))
    return Gallery(path, gallery.identifier)


CLIPS = {
    "ada": tone(PITCHES["ada"], seed=9),
    "two people": tone(PITCHES["ada"], PITCHES["ben"], seed=5),
    "a stranger": tone(PITCHES["dan"]),
    "near": tone(PITCHES["ben"] * 1.1, seed=3),
    "several windows": np.concatenate(
        [tone(PITCHES["ada"], seconds=2.7), tone(PITCHES["cleo"], seconds=2.4, level=0.1)]
    ),
    "short": tone(PITCHES["cleo"], seconds=0.7),
    "silence": np.zeros(16_000, np.float32),
}


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("accept", SHARES)
def test_the_file_answers_as_the_gallery(gallery, named, clip, accept):
    theirs = gallery.identify(CLIPS[clip], accept=accept)
    ours = named.identify(CLIPS[clip], accept=accept)
    assert (ours.speaker, ours.reason) == (theirs.speaker, theirs.reason)
    assert ours.windows == theirs.windows
    assert [score.speaker for score in ours.predictions] == [m.speaker for m in theirs.matches]
    assert [score.probability for score in ours.predictions] == pytest.approx(
        [score.probability for score in theirs.predictions], abs=1e-5
    )
    if theirs.matches:
        assert ours.known == pytest.approx(theirs.known, abs=1e-5)
        assert ours.least_known == pytest.approx(theirs.least_known, abs=1e-9)


def test_a_clip_of_two_voices_has_a_mean_of_windows_that_is_shorter_than_1(named, gallery):
    """Else the clip of several windows would not tell one way of averaging from the other."""
    (scores,) = gallery.identifier.score([(0, CLIPS["several windows"])])
    assert scores.windows > 2
    pcm = CLIPS["several windows"][None]
    windows = [named.run(pcm[:, start : start + 32_000]).embedding[0] for start in (0, 48_000)]
    assert np.linalg.norm(np.mean(windows, axis=0)) < 0.9


def test_the_graph_gives_cosines_logits_and_probabilities(named, gallery):
    outputs = named.run(CLIPS["two people"][None])
    cosines = outputs.embedding @ gallery.contents.means.T
    np.testing.assert_allclose(outputs.cosines, cosines, atol=1e-6)
    np.testing.assert_allclose(outputs.logits, CALIBRATION.odds.scale * cosines, atol=1e-5)
    weights = np.exp(CALIBRATION.odds.scale * cosines)
    np.testing.assert_allclose(outputs.probabilities, weights / weights.sum(), atol=1e-6)


def test_the_metadata(exported, gallery):
    found = Identifier(exported.path).metadata
    assert found.labels == ("ada", "ben", "cleo")
    assert (found.schema, found.temperature) == (2, 1.0)
    assert found.sample_rate == gallery.identifier.sample_rate
    assert found.gallery["model"] == gallery.identifier.metadata.digest
    assert set(found.thresholds["accept"]) == {"0.1", "0.05", "0.01", "0.001"}
    five = gallery.threshold(0.05)
    assert found.gallery["thresholds"]["0.05"] == five.to_dict()
    odds = CALIBRATION.odds
    assert found.thresholds["accept"]["0.05"] == pytest.approx(
        odds.scale * five.cosine + odds.offset - np.log(3)
    )
    assert (found.thresholds["clips"], found.thresholds["basis"]) == (300, "strangers")
    assert found.parity["reference"] == "identify --gallery"
    assert found.parity["speech"] == "kept clips and synthetic"
    assert found.parity["cases"][-1]["case"] == "whole clips"


def test_of_the_people_there_are_means_and_names_alone(exported, gallery):
    data = exported.path.read_bytes()
    for person in gallery.contents.people:
        assert not any(clip.embedding.tobytes() in data for clip in person.clips)
    (weights,) = [t for t in onnx.load(exported.path).graph.initializer if t.name == "people"]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(weights), gallery.contents.means.T)
    assert gallery.path.name.encode() not in data


def test_a_file_that_names_speakers_loses_them(gallery, exported, tmp_path):
    """The people's file stands for any file with names: its layer is replaced by another one."""
    path = tmp_path / "people.vxg"
    model = Identifier(exported.path, threads=1)
    again = Gallery(path, model)
    contents = replace(
        gallery.contents,
        model=GalleryModel.of(model.metadata, "names.onnx"),
        people=gallery.contents.people[1:],
    )
    file.write(path, contents)
    done = export_people(again, tmp_path / "two.onnx")
    graph = onnx.load(done.path).graph
    assert done.metadata.labels == ("ben", "cleo")
    assert [t.dims for t in graph.initializer if t.name == "people"] == [[80, 2]]
    assert b"ada" not in done.path.read_bytes()
    answer = Identifier(done.path).identify(CLIPS["ada"])
    assert (answer.speaker, answer.reason) == (None, "unknown")


def test_what_cannot_be_exported(gallery, tmp_path):
    path, target = tmp_path / "other.vxg", tmp_path / "names.onnx"
    with pytest.raises(EmptyGallery, match=r"nobody is enrolled in other\.vxg"):
        export_people(changed(gallery, path, people=()), target)
    with pytest.raises(UsageError, match="one person is enrolled"):
        export_people(changed(gallery, path, people=gallery.contents.people[:1]), target)
    for calibration in (None, replace(CALIBRATION, odds=None)):
        with pytest.raises(UsageError, match="no calibration is known") as caught:
            export_people(changed(gallery, path, calibration=calibration), target)
        assert "voxedge gallery calibrate" in caught.value.hint
    other = write_other_model(gallery.identifier.model_file.path, tmp_path / "other.onnx")
    with pytest.raises(ForeignModel, match="another model"):
        export_people(Gallery(gallery.path, other), target)
    for lost in (gallery.identifier.model_file.path, gallery.path):
        with pytest.raises(UsageError, match="would be lost"):
            export_people(gallery, lost)
    assert not target.exists()


def test_too_many_people(gallery, tmp_path, monkeypatch):
    monkeypatch.setattr("voxedge.export.people.EXACT_UP_TO", 2)
    with pytest.raises(UsageError, match="3 people; a file takes up to 2"):
        export_people(gallery, tmp_path / "names.onnx")


@pytest.mark.parametrize("fault", ["scale", "people", "threshold"])
def test_a_graph_that_differs_is_not_written(gallery, tmp_path, monkeypatch, fault):
    few = Clips(tuple(CLIPS[name] for name in ("ada", "several windows", "near")), "tones")
    monkeypatch.setattr(exporting, "_clips", lambda *_: few)
    add, open_set = exporting.add_people, exporting._open_set
    if fault == "scale":
        monkeypatch.setattr(exporting, "add_people", lambda g, m, s: add(g, m, s * 1.01))
    elif fault == "people":
        monkeypatch.setattr(exporting, "add_people", lambda g, m, s: add(g, m[::-1], s))
    else:

        def stricter(*arguments):
            record = open_set(*arguments)
            return {**record, "accept": dict.fromkeys(record["accept"], 1e3)}

        monkeypatch.setattr(exporting, "_open_set", stricter)
    with pytest.raises(ParityError, match="no file written"):
        export_people(gallery, tmp_path / "names.onnx")
    assert list(tmp_path.iterdir()) == []


def test_twenty_people_bring_their_own_thresholds(gallery, tmp_path):
    random = np.random.default_rng(0)
    rows = np.abs(random.normal(size=(20, 3, 80))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    people = tuple(
        Person(f"p{n:02d}", tuple(EnrolledClip("a", 2, 1, row) for row in each))
        for n, each in enumerate(rows)
    )
    made = changed(gallery, tmp_path / "many.vxg", people=people)
    thresholds = export_people(made, tmp_path / "names.onnx").metadata
    assert (thresholds.thresholds["basis"], thresholds.thresholds["clips"]) == ("people", 60)
    assert thresholds.gallery["thresholds"]["0.05"]["basis"] == "people"
    assert thresholds.gallery["thresholds"]["0.01"]["basis"] == "strangers"
