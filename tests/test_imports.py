"""Imports point downward, and the device path loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: The floors of docs/design.md, from the ground up: a module imports from its own floor or below.
FLOORS = (
    ("base", "errors", "files", "install", "metrics", "names", "text", "threads"),
    ("audio",),
    ("speech",),
    ("isolation",),
    ("model_file",),
    ("nn",),
    ("inference",),
    ("gallery",),
    ("timeline",),
    ("jobs", "service", "web"),
    ("data",),
    ("evaluation",),
    ("train",),
    ("export",),
    ("cli",),
    ("demo",),
)
HEAVY = {
    *("torch", "torchvision", "torchaudio", "onnx", "onnx_ir", "matplotlib", "jinja2"),
    *("tensorboard", "scipy", "librosa", "safetensors", "pydantic", "av", "usearch"),
}


def sources() -> dict[str, Path]:
    """Module names of the package -> files."""
    found = {}
    for folder, package in ((ROOT / "voxedge", "voxedge"), (ROOT / "export", "voxedge.export")):
        for path in folder.rglob("*.py"):
            inner = path.relative_to(folder).with_suffix("").parts
            if inner[0] == "export":  # a link that makes the package importable in place
                continue
            parts = inner[:-1] if inner[-1] == "__init__" else inner
            found[".".join((package, *parts))] = path
    return found


def imported(path: Path, modules: dict[str, Path]) -> set[str]:
    """The package's own modules that a file imports, inside functions as well, save for types."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("voxedge"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in modules else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in modules}
    return found


def floor(module: str) -> int:
    room = module.split(".")[1]
    return next(level for level, rooms in enumerate(FLOORS) if room in rooms)


def test_every_import_points_to_its_own_floor_or_below():
    modules = sources()
    rooms = [name for name in modules if name.count(".") >= 1 and "__main__" not in name]
    upward = [
        f"{name} imports {other}"
        for name in rooms
        for other in imported(modules[name], modules)
        if name.split(".")[1] != "recipes" and other != "voxedge" and floor(other) > floor(name)
    ]
    assert not upward


def test_no_module_imports_itself_through_others():
    modules = sources()
    graph = {name: imported(path, modules) - {name} for name, path in modules.items()}
    del graph["voxedge"]  # loads its public names when they are asked for
    assert tuple(TopologicalSorter(graph).static_order())  # raises CycleError


def test_the_network_is_told_plain_numbers():
    modules = sources()
    for name, path in modules.items():
        if name.startswith("voxedge.nn"):
            assert not any(".train" in other for other in imported(path, modules)), name


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "module",
    [
        *("inference.identifier", "inference.doctor", "gallery.gallery", "train.recipe"),
        *("cli.app", "evaluation.page", "timeline.timeline", "timeline.listening"),
        *("web.site", "web.server"),
    ],
)
def test_importing_a_module_loads_nothing_heavy(module):
    assert not loaded_by(f"import voxedge.{module}") & HEAVY


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
    names = loaded_by(f"from voxedge.cli import app\nassert app.run({arguments!r}) == 0")
    assert "onnxruntime" in names
    assert not names & {"pydantic", "argparse", "rich", "importlib.metadata"}
    assert not names & {"soundfile", "soxr", "_cffi_backend", "concurrent.futures", "logging"}
    commands = {name for name in names if name.startswith("voxedge.cli.")}
    helpers = {"app", "console", "identify", "limit", "options", "run", "signals"}
    assert commands == {f"voxedge.cli.{name}" for name in helpers}


@pytest.mark.parametrize("command", ["identify", "enroll", "inspect", "evaluate", "--help"])
def test_the_commands_of_a_device_load_nothing_heavy(workshop, command, tmp_path):
    arguments = {
        "identify": [
            "identify",
            str(workshop / "ada.wav"),
            "--model",
            str(workshop / "model.onnx"),
        ],
        "enroll": [
            *("enroll", "ada", str(workshop / "ada.wav"), "--model", str(workshop / "model.onnx")),
            *("--gallery", str(tmp_path / "people.vxg")),
        ],
        "inspect": ["inspect", str(workshop / "model.onnx")],
        "evaluate": [
            *("evaluate", "--model", str(workshop / "model.onnx"), "--stress", "opus12"),
            *("--data", str(workshop / "data"), "--out", str(tmp_path)),
        ],
        "--help": ["--help"],
    }[command]
    code = f"from voxedge.cli import app\nassert app.run({arguments!r}) == 0"
    assert not loaded_by(code) & (HEAVY - {"jinja2"})  # which draws the page of an evaluation


def test_the_public_names_are_all_there():
    code = "import voxedge\nfor name in voxedge.__all__: getattr(voxedge, name)"
    assert "voxedge.inference.identifier" in loaded_by(code)
