"""Imports point downward, and the device path loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    *("torch", "torchvision", "torchaudio", "onnx", "onnx_ir", "matplotlib"),
    *("tensorboard", "scipy", "librosa", "safetensors"),
}

AUDIO = {"errors", "limits", "wav", "pcm", "decoder"}

# module -> the voxedge modules that it may load, besides itself: the floors of docs/design.md
ALLOWED = {
    "errors": set(),
    "limits": {"errors"},
    "decoder": {"errors", "limits"},
    "libsndfile": {"errors", "limits"},
    "pcm": {"errors", "limits", "wav"},
    "audio": AUDIO,
    "windows": {"errors", "limits"},
    "metrics": set(),
    "artifact": {"errors", "onnx_wire"},
    "session": {"errors", "onnx_wire", "artifact"},
    "parallel": set(),
    "scoring": {"errors", "limits", "parallel", "windows"},
    "stress": {*AUDIO, "audio"},
    "runtime": {
        *(*AUDIO, "audio", "windows", "scoring"),
        *("onnx_wire", "artifact", "parallel", "session", "fixed_batches"),
    },
    "fixed_batches": set(),
    "doctor": {
        *(*AUDIO, "audio", "windows", "scoring", "runtime"),
        *("onnx_wire", "artifact", "parallel", "session", "fixed_batches"),
    },
    "usage": {"errors", "console"},
    "cli": {"errors", "console", "usage"},
    "train.recipe": {"errors", "onnx_wire", "artifact", "train"},
}


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("module", ALLOWED)
def test_a_module_loads_only_what_lies_below_it(module):
    names = loaded_by(f"import voxedge.{module}")
    ours = {name.removeprefix("voxedge.") for name in names if name.startswith("voxedge.")}
    assert ours - {module} <= ALLOWED[module]
    assert not names & HEAVY


def test_importing_voxedge_costs_nothing():
    names = loaded_by("import voxedge")
    assert {name for name in names if name.startswith("voxedge")} == {"voxedge"}
    assert "numpy" not in names


def test_identifying_loads_nothing_heavy(workshop):
    code = f"""
from voxedge import Identifier
answer = Identifier({str(workshop / "model.onnx")!r}).identify({str(workshop / "ada.wav")!r})
assert answer.windows == 1
"""
    assert not loaded_by(code) & HEAVY


def test_identifying_one_clip_loads_only_what_it_needs(workshop):
    """A WAV at the model's rate needs no decoder and no resampler, one clip no threads."""
    arguments = ["identify", str(workshop / "ada.wav"), "--model", str(workshop / "model.onnx")]
    code = f"""
from voxedge import cli
sys.argv = ["voxedge", *{arguments!r}]
assert cli._run() == 0
"""
    names = loaded_by(code)
    assert "onnxruntime" in names
    assert not names & {*("typer", "click", "pydantic", "argparse", "rich", "difflib")}
    assert not names & {"soundfile", "soxr", "_cffi_backend", "concurrent.futures", "logging"}


@pytest.mark.parametrize("command", ["identify", "inspect", "evaluate", "--help"])
def test_the_commands_of_a_device_load_nothing_heavy(workshop, command, tmp_path):
    arguments = {
        "identify": [
            "identify",
            str(workshop / "ada.wav"),
            "--model",
            str(workshop / "model.onnx"),
        ],
        "inspect": ["inspect", str(workshop / "model.onnx")],
        "evaluate": [
            *("evaluate", "--model", str(workshop / "model.onnx"), "--stress", "opus12"),
            *("--data", str(workshop / "data"), "--out", str(tmp_path)),
        ],
        "--help": ["--help"],
    }[command]
    code = f"""
from voxedge import cli
sys.argv = ["voxedge", *{arguments!r}]
assert cli._run() == 0
"""
    assert not loaded_by(code) & (HEAVY | {"rich.progress"})


def test_the_public_names_are_all_there():
    code = "import voxedge\nfor name in voxedge.__all__: getattr(voxedge, name)"
    assert "voxedge.runtime" in loaded_by(code)
