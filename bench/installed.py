"""The size on disk of ``pip install voxedge-speaker[cpu]``: the files that pip lists."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bench.results import Installed
from voxedge.install import DISTRIBUTION

ROOT = Path(__file__).parent.parent


def installed(extra: str = "cpu") -> Installed:
    """Bytes of voxedge and of every package that the extra needs, as they are installed here.

    voxedge is counted from its sources, since it may be installed from them (``pip install -e``).

    Raises:
        importlib.metadata.PackageNotFoundError: one of them is not installed.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]
    moved = project["tool"]["setuptools"]["package-dir"]
    sizes = {DISTRIBUTION: sum(_folder_bytes(name, moved) for name in packages)}
    needed = [*project["project"]["dependencies"]]
    needed += project["project"]["optional-dependencies"][extra]
    for requirement in needed:
        _add(Requirement(requirement), sizes)
    return {"bytes": sum(sizes.values()), "packages": sizes}


def _folder_bytes(package: str, moved: dict[str, str]) -> int:
    for name, place in sorted(moved.items(), key=lambda item: -len(item[0])):
        if package == name or package.startswith(f"{name}."):
            package = place + package.removeprefix(name)
            break
    folder = ROOT / package.replace(".", "/")
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _add(requirement: Requirement, sizes: dict[str, int]) -> None:
    """Add a package and what it needs itself."""
    name, extras = canonicalize_name(requirement.name), {"", *requirement.extras}
    if name in sizes:
        return
    found = metadata.distribution(name)
    paths = (Path(str(path.locate())) for path in found.files or ())
    sizes[name] = sum(path.stat().st_size for path in paths if path.is_file())
    for line in found.requires or ():
        needed = Requirement(line)
        if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
            _add(needed, sizes)
