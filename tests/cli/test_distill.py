from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from voxedge.export.fold.clips import Clips, synthetic_clips
from voxedge.export.fold.compose import read_network
from voxedge.export.fold.frontends import KaldiSettings
from voxedge.export.fold.pipeline import fold_network
from voxedge.export.student import load_student

from tests.conftest import RATE, voice
from tests.export.fold.conftest import WIDTH, network
from voxedge.cli.app import run
from voxedge.inference.identifier import Identifier
from voxedge.train.checkpoint import load_checkpoint

SMALL = {
    "frontend.image_size": 32,
    "frontend.image_columns": 48,
    "frontend.window_seconds": 0.5,
    "frontend.n_mels": 40,
    "model.width": 0.25,
    "model.embedding_dim": WIDTH,
    "training.batch_size": 4,
}
SETTINGS = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    clips = Clips(synthetic_clips(RATE).samples[:2], "synthetic")
    path = folder / "teacher.onnx"
    net = read_network(network(folder / "net.onnx"))
    fold_network(net, KaldiSettings(), path, window_seconds=0.5, clips=clips)
    return path


def test_distill_then_train_from_the_student(teacher, corpus_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["distill", str(corpus_folder), "--teacher", str(teacher), "--out", "student"]
    words += ["--steps", "2", "--variations", "2", "--held-out", "2", "--threads", "1", *SETTINGS]
    assert run(words) == 0
    out, err = capsys.readouterr()
    assert "EER on speakers that were held out: " in out
    assert "32 clips, 0.01 h; 0 left out" in err
    assert "next: voxedge train --recipe base --init student/student.safetensors --set" in err
    (row,) = json.loads((tmp_path / "student" / "history.json").read_text())
    assert row["step"] == 2
    exported(corpus_folder, capsys)
    begin = ["train", str(corpus_folder), "--recipe", "base", "--init"]
    assert run([*begin, "student.onnx", *SETTINGS]) == 4
    assert "its weights cannot be trained on" in capsys.readouterr().err
    again = [*words[:-2], "--set", "training.batch_size=5"]
    assert run(again) == 2
    assert "another recipe" in capsys.readouterr().err
    begin = ["--recipe", "base", "--init", "student/student.safetensors", *SETTINGS]
    assert run(["train", str(corpus_folder), "--epochs", "1", "--threads", "1", *begin]) == 0
    recipe = load_checkpoint(tmp_path / "runs" / "latest" / "best.safetensors").state["recipe"]
    assert recipe["model"]["init"] == "student/student.safetensors"


def exported(corpus_folder, capsys):
    """The student's files give what PyTorch gives."""
    folder = ["--run", "student", "--data", str(corpus_folder)]
    assert run(["export", "student.onnx", *folder, "--licence", "MIT", "--source", "toys"]) == 0
    assert run(["export", "int8.onnx", *folder, "--precision", "int8"]) == 0
    assert "cosine to float32" in capsys.readouterr().out
    net, recipe, _ = load_student(Path("student/student.safetensors"))
    clip = voice(150, 0.7, 0)
    with torch.inference_mode():
        expected = net(torch.from_numpy(clip[None]), torch.tensor([len(clip)]))[0].numpy()
    for name, limit in (("student.onnx", 0.99999), ("int8.onnx", 0.98)):
        identifier = Identifier(name, device="cpu")
        assert identifier.metadata.window == recipe.frontend.window_seconds * RATE
        assert identifier.run(clip[None]).embedding[0] @ expected > limit
    assert Identifier("student.onnx").metadata.source == "toys"
    assert Path("int8.onnx").stat().st_size < 0.5 * Path("student.onnx").stat().st_size
    assert run(["export", "other.onnx", *folder, "--input-rate", "48000"]) == 2
    assert run(["export", "other.onnx", "--run", "student", "--precision", "int8"]) == 2
    assert not Path("other.onnx").exists()
    capsys.readouterr()


def test_what_cannot_be_learned_is_refused(model_path, corpus_folder, tmp_path, capsys):
    assert run(["distill", "nowhere", "--teacher", str(model_path)]) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err
    assert run(["distill", str(corpus_folder), "--teacher", "nothing.onnx"]) == 4
    capsys.readouterr()
    words = ["distill", str(corpus_folder), "--teacher", str(model_path)]
    assert run([*words, "--out", str(tmp_path)]) == 2
    assert "192 dimensions, the teacher's 256" in capsys.readouterr().err
    assert run([*words, "--set", "model.pooling=mean", "--set", "model.embedding_dim=64"]) == 2
    assert "model.embedding_dim would do nothing" in capsys.readouterr().err
