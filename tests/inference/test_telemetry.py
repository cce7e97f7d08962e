"""Nothing leaves the machine: ONNX Runtime's telemetry is off wherever voxedge imports it."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.check import ROOT, code_blocks
from tests.test_imports import sources

VARIABLE = "ORT_DISABLE_TELEMETRY"
RUNTIME = "voxedge.inference.runtime"
BARE = next(text for text in code_blocks(ROOT / "README.md", "python") if "wave" in text)


@pytest.fixture
def folders(tmp_path):
    """An empty HOME and TMPDIR, and the environment in which they are those of a user."""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    kept = {k: v for k, v in os.environ.items() if k not in (VARIABLE, "XDG_CACHE_HOME")}
    caches = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "torch")}  # PyTorch makes it on import
    return (home, temporary), kept | caches | {"HOME": str(home), "TMPDIR": str(temporary)}


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "voxedge", "identify", "clip.wav", "clip.wav", "--threads", "2"],
        ["-m", "voxedge", "enroll", "ann", "clip.wav", "--force"],
        ["-m", "voxedge", "doctor", "--seconds", "0.1"],
        ["-m", "bench.fresh", "bare", "model.onnx", "1"],
        ["-c", "import voxedge.export.ort_format, voxedge.export.parity"],
        ["-c", BARE],
    ],
    ids=["identify", "enroll", "doctor", "bench", "export", "README"],
)
def test_no_file_and_no_connection_is_left_behind(arguments, workshop, tmp_path, folders):
    empty, environment = folders
    os.link(workshop / "model.onnx", tmp_path / "model.onnx")
    os.link(workshop / "ada.wav", tmp_path / "clip.wav")
    trace = ["strace", "-f", "-o", str(tmp_path / "trace"), "-e", "trace=%network"]
    command = [*(trace if shutil.which("strace") else []), sys.executable, *arguments]
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path for folder in empty for path in folder.rglob("*")] == []
    if shutil.which("strace"):
        assert "socket(" not in (tmp_path / "trace").read_text()


def test_clips_are_identified_and_people_enrolled_without_any_network(workshop, tmp_path):
    alone = ["unshare", "--map-root-user", "--net"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"]).returncode:
        pytest.skip("no namespace without a network: unshare --map-root-user --net fails here")
    model, clip = workshop / "model.onnx", workshop / "ada.wav"
    for arguments in (["identify", clip, "--json"], ["enroll", "ann", clip, "--force"]):
        command = [*alone, sys.executable, "-m", "voxedge", *arguments, "--model", model]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "people.vxg").exists()


def test_a_user_may_turn_it_on():
    code = f"import os, {RUNTIME}; print(os.environ[{VARIABLE!r}])"
    for value, expected in ((None, "1"), ("0", "0"), ("1", "1")):
        environment = {k: v for k, v in os.environ.items() if k != VARIABLE}
        environment |= {"CI": "true"} | ({} if value is None else {VARIABLE: value})  # CI: off too
        shown = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
        assert shown.strip() == expected


def lines_that_import(path: Path, module: str) -> list[int]:
    """Where a file imports a module or one below it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found += [node.lineno for name in names if f"{name}.".startswith(f"{module}.")]
    return found


def test_the_variable_is_set_before_every_import():
    files = [*sources().values(), *(ROOT / "bench").rglob("*.py")]
    files.remove(ROOT / "voxedge" / "inference" / "runtime.py")
    for path in files:
        before = min(lines_that_import(path, RUNTIME), default=sys.maxsize)
        assert all(line > before for line in lines_that_import(path, "onnxruntime")), path
