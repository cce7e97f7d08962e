"""Corpora that are damaged, contradictory or empty, as ``voxedge train`` meets them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import soundfile

from tests.conftest import RATE, voice, voxedge, write_corpus
from voxedge.cli.app import run

QUICK = (
    "--image-size",
    "32",
    "--width",
    "0.25",
    "--epochs",
    "1",
    "--set",
    "frontend.window_seconds=0.5",
)


@pytest.fixture
def messy(tmp_path) -> Path:
    """A folder whose ``data`` holds all that goes wrong in real corpora."""
    root = write_corpus(tmp_path / "data", clips=5)
    (root / "ada" / "broken.wav").write_bytes(b"nothing")
    shutil.copy(root / "ada" / "00.wav", root / "ada" / "copy.wav")
    shutil.copy(root / "ben" / "00.wav", root / "cleo" / "stolen.wav")
    for name in ("eve", "fay", "gil"):
        (root / name).mkdir()
    for number in range(12):
        (root / "fay" / f"{number}.wav").write_bytes(b"")
    soundfile.write(root / "gil" / "only.wav", voice(180.0, 1.2, 70), RATE)
    return tmp_path


def test_bad_clips_are_named_skipped_and_counted_and_strict_stops(messy, monkeypatch, capsys):
    done = voxedge("train", *QUICK, cwd=messy)
    assert done.returncode == 0, done.stderr
    missing = "no usable clip, so the model will not know this speaker"
    for line in (
        "ada/broken.wav: left out",
        "ada/copy.wav: left out: the same audio as ada/00.wav",
        "ben/00.wav: left out: the same audio as cleo/stolen.wav, of another speaker",
        f"eve: {missing}: an empty",
        f"fay: {missing}",
        "12 clips: the file is empty",
        f"gil: {missing}",
        "4 speakers, 19 clips",
        "18 left out",
    ):
        assert line in done.stderr, line
    monkeypatch.chdir(messy)
    assert run(["train", "--strict", *QUICK]) == 3
    assert "18 problems in all" in capsys.readouterr().err


def test_an_empty_corpus_is_explained(tmp_path, monkeypatch, capsys):
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run(["train"]) == 3
    printed = capsys.readouterr().err
    assert "data/<speaker>/<clip>.wav" in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "runs").exists()
