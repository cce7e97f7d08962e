"""The wheel holds voxedge alone, and a device needs no more than the extra ``cpu``."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_the_packages_listed_are_the_folders_there_are():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("voxedge", "export")
        for path in (ROOT / top).rglob("__init__.py")
    }
    found = {f"voxedge.{name}" if name.startswith("export") else name for name in found}
    assert set(listed) == found


def test_the_wheel_holds_voxedge_only_and_typed(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"voxedge", "voxedge_speaker"}
    for needed in (
        "py.typed",
        "export/pipeline.py",
        "export/passes/tidy.py",
        "recipes/default.toml",
    ):
        assert f"voxedge/{needed}" in names
    assert not [name for name in names if "test" in name or "bench" in name]


def test_the_device_install_identifies_without_torch_and_stays_small(wheel, workshop, tmp_path):
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    constraints = ["-c", ROOT / "constraints.txt"]
    install = [python, "-m", "pip", "install", "--quiet", *constraints, f"{wheel}[cpu]"]
    subprocess.run(install, check=True, capture_output=True)
    command = [environment / "bin" / "voxedge", "identify", "ada.wav", "ben.wav", "--json"]
    done = subprocess.run(command, cwd=workshop, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert (first["path"], second["path"]) == ("ada.wav", "ben.wav")
    for heavy in ("torch", "onnx", "matplotlib"):
        found = subprocess.run([python, "-c", f"import {heavy}"], capture_output=True)
        assert found.returncode == 1, heavy
    train = subprocess.run(
        [environment / "bin" / "voxedge", "train"], cwd=workshop, capture_output=True, text=True
    )
    assert train.returncode == 2
    assert f"pip install '{wheel}[train]'" in train.stderr
    packages = environment / "lib"
    installed = sum(
        path.stat().st_size
        for path in packages.rglob("*")
        if path.is_file() and "/pip" not in str(path) and "/setuptools" not in str(path)
    )
    assert installed < 200e6
