"""``--trunk FILE.onnx``, from training to names."""

from __future__ import annotations

import json

import pytest

from tests.conftest import SPEAKERS, write_corpus
from voxedge.model_file.reader import read_model


def test_from_a_file_of_embeddings_to_names(here, tmp_path, trunk_path):
    write_corpus(tmp_path / "data")
    write_corpus(tmp_path / "others", clips=3, speakers={"eve": 130.0, "fay": 180.0, "gus": 240.0})
    few = ["--set", "augment.copies=1", "--epochs", "20"]
    done = here("train", "--trunk", trunk_path, *few)
    assert done.returncode == 0, done.stderr
    assert "recipe pretrained on cpu" in done.stderr
    assert "epoch  20/20" in done.stderr
    assert here("export", "model.onnx").returncode == 0
    answer = here("identify", "data/ada/00.wav", "--json")
    assert json.loads(answer.stdout)["speaker"] == "ada"
    evaluate = ["evaluate", "--stress", "telephone", "--unseen", "others", "--json"]
    figures = [
        json.loads(here(*evaluate, *more).stdout)
        for more in ([], ["runs/latest", "--model", "model.onnx"])
    ]
    for name in ("clean", "telephone"):  # the run, and its file
        ours, theirs = (each["conditions"][name] for each in figures)
        assert ours["top1"] == theirs["top1"]
        assert ours["calibration_error"] == pytest.approx(theirs["calibration_error"], abs=1e-4)
    own, other = (each["verification"]["eer"]["value"] for each in figures)
    assert own == pytest.approx(other, abs=1e-6)
    inspected = here("inspect", "model.onnx").stdout
    assert f"{len(SPEAKERS)}: ada, ben, cleo, dan" in inspected
    assert "a paper" in inspected
    assert read_model(tmp_path / "model.onnx").metadata.names_speakers
    again = here("train", "--trunk", "model.onnx")
    assert again.returncode == 2
    assert "names 4 speakers" in again.stderr


def test_mistakes_are_named(here, tmp_path, trunk_path):
    write_corpus(tmp_path / "data", clips=4)
    missing = here("train", "--trunk", "campplus.onnx")
    assert missing.returncode == 2
    assert "there is no file campplus.onnx" in missing.stderr
    assert "voxedge fold" in missing.stderr
    idle = here("train", "--trunk", trunk_path, "--image-size", "64")
    assert idle.returncode == 2
    assert "frontend.image_size would do nothing" in idle.stderr
    assert not (tmp_path / "runs").exists()
