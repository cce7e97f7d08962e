"""``voxedge export --gallery``."""

from __future__ import annotations

import json

import pytest

from tests.conftest import records
from tests.gallery.conftest import (
    CALIBRATION,
    PITCHES,
    tone,
    tones_taken_for_speech,
    write_spectrum_model,
    write_tone,
)
from voxedge.cli.app import run
from voxedge.gallery import file
from voxedge.gallery.gallery import Gallery
from voxedge.gallery.people import Contents, GalleryModel
from voxedge.inference.identifier import Identifier


@pytest.fixture(scope="module", autouse=True)
def _tones():
    with tones_taken_for_speech():
        yield


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """``embeds.onnx``, ``people.vxg`` with Ada and Ben, and a clip of Ada and of a stranger."""
    folder = tmp_path_factory.mktemp("prepared")
    model = Identifier(write_spectrum_model(folder / "embeds.onnx"), threads=1)
    file.write(
        folder / "people.vxg",
        Contents(GalleryModel.of(model.metadata, "embeds.onnx"), calibration=CALIBRATION),
    )
    gallery = Gallery(folder / "people.vxg", model)
    for name in ("ada", "ben"):
        gallery.enroll(name, [tone(PITCHES[name], seed=n) for n in range(3)])
    write_tone(folder / "ada.wav", PITCHES["ada"], seed=5)
    write_tone(folder / "dan.wav", PITCHES["dan"])
    return folder


@pytest.fixture
def folder(prepared, monkeypatch):
    monkeypatch.chdir(prepared)
    monkeypatch.delenv("VOXEDGE_MODEL", raising=False)
    return prepared


def test_the_file_names_the_people(folder, capsys):
    words = ["export", "model.onnx", "--gallery", "people.vxg", "--model", "embeds.onnx"]
    assert run(words) == 0
    out, err = capsys.readouterr()
    assert "parity with identify --gallery" in out
    assert "whole clips" in out
    assert "model.onnx: 2 people" in out
    assert "the threshold for 0.1 % of strangers is for 4 %: no stricter one was measured" in err
    assert run(["identify", "ada.wav", "dan.wav", "--json"]) == 0
    ada, dan = records(capsys.readouterr().out)
    named = ["identify", "ada.wav", "dan.wav", "--json", "--gallery", "people.vxg"]
    assert run([*named, "--model", "embeds.onnx"]) == 0
    for ours, theirs in zip((ada, dan), records(capsys.readouterr().out), strict=True):
        assert (ours["speaker"], ours.get("reason")) == (theirs["speaker"], theirs.get("reason"))
        assert ours["known"] == pytest.approx(theirs["known"], abs=1e-5)
        assert [p["speaker"] for p in ours["predictions"]] == [
            p["speaker"] for p in theirs["predictions"]
        ]
    assert (ada["speaker"], dan["reason"]) == ("ada", "unknown")
    assert run(["inspect"]) == 0
    out = capsys.readouterr().out
    assert "people enrolled with the model file" in out
    assert "of identify --gallery" in out
    assert run(["inspect", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["labels"], facts["thresholds"]["basis"]) == (["ada", "ben"], "strangers")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--gallery", "people.vxg", "--precision", "int8"], "--gallery goes without"),
        (["--gallery", "people.vxg", "--run", "runs/x"], "--gallery goes without"),
        (["--gallery", "people.vxg", "--input-rate", "8000"], "--gallery goes without"),
        (["--model", "embeds.onnx"], "--model goes with --gallery"),
    ],
)
def test_flags_that_do_not_go_together(folder, capsys, flags, words):
    assert run(["export", "names.onnx", *flags]) == 2
    assert words in capsys.readouterr().err


def test_the_model_file_must_be_the_gallerys_own(folder, capsys):
    gallery = ["--gallery", "people.vxg"]
    assert run(["export", "names.onnx", *gallery, "--model", "nothing.onnx"]) == 4
    assert run(["export", "embeds.onnx", *gallery, "--model", "embeds.onnx"]) == 2
    assert "would be lost" in capsys.readouterr().err
    assert run(["export", "names.onnx", "--gallery", "nobody.vxg", "--model", "embeds.onnx"]) == 4
    assert "there is no gallery nobody.vxg" in capsys.readouterr().err
    assert not (folder / "names.onnx").exists()
