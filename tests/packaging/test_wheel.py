"""The wheel holds voxedge alone, and a device needs no more than the extra ``cpu``."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from tests.packaging.wheels import ROOT, SOURCES

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def installed_name(path: Path) -> Path:
    """The path under site-packages of a file or folder of the clone."""
    relative = path.relative_to(ROOT)
    return Path("voxedge") / relative if relative.parts[0] == "export" else relative


def test_pyproject_lists_every_package():
    folders = (path.parent for top in SOURCES for path in (ROOT / top).rglob("__init__.py"))
    expected = {".".join(installed_name(folder).parts) for folder in folders}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == expected


def test_the_wheel_has_the_distributions_name(wheel):
    name, version = PROJECT["project"]["name"], PROJECT["project"]["version"]
    assert wheel.name == f"{name.replace('-', '_')}-{version}-py3-none-any.whl"


def test_the_wheel_holds_every_file_of_voxedge_and_nothing_else(wheel):
    names = {Path(name) for name in zipfile.ZipFile(wheel).namelist()}
    packed = {name for name in names if name.parts[0] == "voxedge"}
    (metadata,) = {name.parts[0] for name in names - packed}
    assert metadata == f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info"
    files = (path for top in SOURCES for path in (ROOT / top).rglob("*") if path.is_file())
    assert packed == {installed_name(path) for path in files if "__pycache__" not in path.parts}
    for data in ("py.typed", "recipes/default.toml", "evaluation/page.html"):
        assert Path("voxedge") / data in packed


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
