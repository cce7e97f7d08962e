"""What ``pip install voxedge[cpu]`` puts on a disk: the files of its packages, by pip's lists."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


def installed(extra: str = "cpu") -> dict[str, Any]:
    """Bytes of voxedge and of every package that the extra needs, as they are installed here.

    voxedge is counted from its sources, since here it may be installed in place.

    Raises:
        importlib.metadata.PackageNotFoundError: one of them is not installed.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]
    moved = project["tool"]["setuptools"]["package-dir"]
    sizes = {"voxedge": sum(_folder_bytes(name, moved) for name in packages)}
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
    """The package and what it needs itself."""
    extras = {"", *requirement.extras}
    if requirement.name in sizes:
        return
    found = metadata.distribution(requirement.name)
    paths = (Path(str(path.locate())) for path in found.files or ())
    sizes[requirement.name] = sum(path.stat().st_size for path in paths if path.is_file())
    for line in found.requires or ():
        needed = Requirement(line)
        if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
            _add(needed, sizes)
