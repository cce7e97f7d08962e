"""The README's program without voxedge, on the oldest ONNX Runtime that it names."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from docs.check import ROOT, code_blocks
from tests.conftest import SPEAKERS
from voxedge import Identifier

OLDEST = "1.15.1"
(PROGRAM,) = (c for c in code_blocks(ROOT / "README.md", "python") if "import onnxruntime" in c)


@pytest.fixture(scope="session")
def old_runtime(tmp_path_factory):
    """A folder that holds ONNX Runtime and NumPy alone."""
    folder = tmp_path_factory.mktemp("old_runtime")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    packages = [f"onnxruntime=={OLDEST}", "numpy<2"]  # it was built for NumPy 1
    wheels_only = ["--no-deps", "--only-binary", ":all:"]
    done = subprocess.run(
        [*pip, "--target", folder, *wheels_only, *packages], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no wheel of ONNX Runtime {OLDEST} for this Python, or no package index")
    return folder


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_oldest_runtime_names_the_same_speakers(
    precision, int8, model_path, old_runtime, workshop, tmp_path
):
    model = int8.path if precision == "int8" else model_path
    shutil.copy(model, tmp_path / "model.onnx")
    identifier = Identifier(model)
    for name in SPEAKERS:
        shutil.copy(workshop / f"{name}.wav", tmp_path / "clip.wav")
        done = subprocess.run(
            [sys.executable, "-S", "-c", f"{PROGRAM}\nprint(ort.__version__)"],  # no site-packages
            cwd=tmp_path,
            env={"PYTHONPATH": str(old_runtime)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        speaker, probability, version = done.stdout.split()
        assert version == OLDEST
        prediction = identifier.identify(tmp_path / "clip.wav")
        assert speaker == prediction.speaker == name
        assert float(probability) == pytest.approx(prediction.predictions[0].probability, abs=0.01)
