"""Build the wheel from a copy: setuptools would leave a folder, and add what an old one holds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("voxedge", "export")  # export installs as voxedge.export

_BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
_RELEASED = "1735689600"  # SOURCE_DATE_EPOCH: the same for all files, in any clone


def build_wheel(folder: Path, changed: float | None = None) -> Path:
    """Build the wheel of this clone.

    Args:
        folder: empty, for the copy and the wheel.
        changed: a time of last change for all files of the copy; by default as they are.
    """
    source, out = folder / "source", folder / "wheel"
    for name in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for path in source.rglob("*") if changed is not None else ():
        os.utime(path, (changed, changed))
    out.mkdir()
    subprocess.run(
        [sys.executable, "-c", _BUILD, out],
        cwd=source,
        env=os.environ | {"SOURCE_DATE_EPOCH": _RELEASED},
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return built
