"""The base network: its two files are one network, and people and trainings begin with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from voxedge.export.student import load_student

from tests.conftest import RATE, SPEAKERS, voice
from voxedge import base
from voxedge.cli.app import run
from voxedge.gallery.measured import calibration_of
from voxedge.gallery.people import GalleryModel
from voxedge.inference.identifier import Identifier, default_embedding_model
from voxedge.model_file.reader import read_model
from voxedge.train.run import find_run


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VOXEDGE_MODEL", raising=False)


def test_its_files_are_one_network():
    net, recipe, _ = load_student(base.WEIGHTS)
    identifier, clip = Identifier("base", device="cpu"), voice(150, 2.0, 0)
    with torch.inference_mode():
        expected = net(torch.from_numpy(clip[None]), torch.tensor([len(clip)]))[0].numpy()
    assert identifier.run(clip[None]).embedding[0] @ expected > 0.98
    assert identifier.metadata.window == recipe.frontend.window_seconds * RATE


def test_it_is_small_and_says_what_it_is():
    assert base.MODEL.stat().st_size < 5e6
    assert base.WEIGHTS.stat().st_size < 8e6
    about = read_model("base").metadata
    assert (about.licence, about.labels) == ("Apache-2.0", ())
    assert "CAM++" in about.source
    assert calibration_of(GalleryModel.of(about, "base")) is not None


def test_it_is_used_where_there_is_no_model_file(monkeypatch, tmp_path):
    assert default_embedding_model() == "base"
    (tmp_path / "model.onnx").touch()
    assert default_embedding_model() == "model.onnx"
    monkeypatch.setenv("VOXEDGE_MODEL", "own.onnx")
    assert default_embedding_model() == "own.onnx"


def test_people_are_enrolled_and_named_without_a_model_file(capsys):
    for name, pitch in SPEAKERS.items():
        for number in range(3):
            soundfile.write(f"{name}-{number}.wav", voice(pitch, 3.0, number), RATE)
    first, second = [*SPEAKERS][:2]
    for name in (first, second):
        clips = [f"{name}-{number}.wav" for number in range(2)]
        assert run(["enroll", name, *clips, "--any-sound", "--force"]) == 0
    capsys.readouterr()
    words = ["identify", f"{first}-2.wav", "--gallery", "people.vxg", "--any-sound", "--json"]
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["speaker"] in (first, None)
    assert run(["verify", f"{first}-0.wav", f"{first}-0.wav", "--any-sound"]) == 0


def test_training_begins_with_it(corpus_folder, capsys):
    words = ["train", str(corpus_folder), "--init", "base", "--epochs", "1", "--threads", "1"]
    assert run(words) == 0
    assert "trunk of base: frozen throughout" in capsys.readouterr().err
    found = find_run(Path("runs"))
    assert found.recipe().name == "base"
    metrics = json.loads(found.metrics_path.read_text())
    assert metrics["validation"]["val_top1"] > 0.5
    assert np.isfinite(metrics["temperature"])
