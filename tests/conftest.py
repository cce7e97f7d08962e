"""What tests share: voices made of harmonics, a corpus of them, and a model trained on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 16_000
SPEAKERS = {"ada": 110.0, "ben": 150.0, "cleo": 205.0, "dan": 270.0}  # Hz, of the voice


def pytest_configure() -> None:
    """One processor for each of the parallel workers: they would wait for each other's threads."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and hasattr(os, "sched_setaffinity"):
        mine = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {mine[int(worker.removeprefix("gw")) % len(mine)]})


def voice(pitch: float, seconds: float, seed: int) -> np.ndarray:
    """A buzz with a wandering pitch, whose vowels change around formants that depend on ``pitch``.

    The detector of speech takes it for speech. float32 [S].
    """
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    wander = 1 + 0.03 * np.sin(2 * np.pi * random.uniform(2, 5) * time + random.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch * wander) / RATE
    vowels = (np.sin(2 * np.pi * 5 * time), np.sin(2 * np.pi * 3.1 * time + 2))
    means = (3.1 * pitch + 150, 7.7 * pitch + 400)
    formants = [mean * (1 + 0.4 * vowel) for mean, vowel in zip(means, vowels, strict=True)]
    sound = np.zeros_like(time)
    for harmonic in range(1, 20):
        hertz = harmonic * pitch
        gain = sum(np.exp(-(((hertz - f) / 250) ** 2)) for f in formants) + 0.05
        sound += gain * np.sin(harmonic * phase + random.uniform(0, 6))
    sound *= 0.6 + 0.4 * np.sin(2 * np.pi * 4 * time + random.uniform(0, 6))
    sound += random.normal(0, 0.02, len(time))
    return (0.2 * sound / np.abs(sound).max()).astype(np.float32)


def write_corpus(
    folder: Path, clips: int = 8, seconds: float = 1.2, speakers: Mapping[str, float] = SPEAKERS
) -> Path:
    """``folder/<speaker>/<nn>.wav`` for every speaker."""
    for index, (name, pitch) in enumerate(speakers.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(clips):
            sound = voice(pitch, seconds, 100 * index + number)
            soundfile.write(folder / name / f"{number:02d}.wav", sound, RATE)
    return folder


def voxedge(
    *arguments: str | Path, cwd: Path, extra: dict[str, str] | None = None, **options
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, with ``extra`` in the environment."""
    environment = {k: v for k, v in os.environ.items() if k != "VOXEDGE_MODEL"} | (extra or {})
    return subprocess.run(
        [sys.executable, "-m", "voxedge", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=environment | {"NO_COLOR": "1"},
        **options,
    )


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``voxedge`` in ``tmp_path`` and in this process, which has imported PyTorch already."""
    from voxedge.cli.app import run

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("VOXEDGE_MODEL", raising=False)

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        words = [str(argument) for argument in arguments]
        code = run(words)
        return subprocess.CompletedProcess(words, code, *capsys.readouterr())

    return call


def records(text: str) -> list[dict]:
    """The JSON objects of lines."""
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of four voices with eight clips each."""
    return write_corpus(tmp_path_factory.mktemp("corpus") / "data")


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a user has typed the first commands: data/, runs/, model.onnx."""
    return make_workshop(tmp_path_factory.mktemp("workshop"))


def make_workshop(folder: Path) -> Path:
    """Fill a folder: ``workshop``."""
    write_corpus(folder / "data")
    for name, pitch in SPEAKERS.items():
        soundfile.write(folder / f"{name}.wav", voice(pitch, 1.5, 999), RATE)
    train = voxedge("train", "--epochs", "10", "--image-size", "48", "--width", "0.25", cwd=folder)
    assert train.returncode == 0, train.stderr
    export = voxedge("export", "model.onnx", cwd=folder)
    assert export.returncode == 0, export.stderr
    (folder / "train.log").write_text(train.stdout + train.stderr)
    (folder / "export.log").write_text(export.stdout + export.stderr)
    return folder


@pytest.fixture(scope="session")
def trunk_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model file of embeddings."""
    from tests.pretrained import write_trunk  # needs the packages of the export

    return write_trunk(tmp_path_factory.mktemp("trunk") / "net.onnx")


@pytest.fixture(scope="session")
def model_path(workshop: Path) -> Path:
    """A model file of a finished run."""
    return workshop / "model.onnx"


@pytest.fixture(scope="session")
def real_speech() -> Path:
    """The shared recordings, where they are."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("VOXEDGE_DATA", default))
    if not (folder / "speechocean762" / "known").is_dir():
        pytest.skip(f"no recordings at {folder} (set VOXEDGE_DATA)")
    return folder
