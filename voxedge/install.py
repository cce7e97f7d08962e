"""How this installation was made, and the pip command that adds an extra to it.

The distribution is not called ``voxedge``: on the package index that name belongs to another
project (a voice conversion toolkit). A hint that gave pip that name would fetch and run its code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voxedge.errors import MissingExtra

DISTRIBUTION = "voxedge-speaker"
_FOREIGN = "voxedge"  # the other project's distribution; its import package has our name


def install_command(extra: str) -> str:
    """The command that adds an extra to this installation, from where it was installed.

    That is a folder (``-e`` where the installation is editable), a wheel file, a URL, or the
    package index, where the distribution has its own name.
    """
    import shlex

    return f"pip install {shlex.join(_requirement(extra))}"


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Surround imports that a device install does not have.

    Raises:
        MissingExtra: a module is missing; the hint is the command that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "voxedge":
            raise
        raise MissingExtra(f"this needs {error.name}", install_command(extra)) from error


def foreign_distribution() -> str | None:
    """The metadata folder of a distribution named ``voxedge``, if one is installed.

    Only file names are compared, because this runs whenever the command line starts.
    """
    for folder in dict.fromkeys(sys.path):
        try:
            names = os.listdir(folder or os.curdir)  # noqa: PTH208 - faster than pathlib
        except OSError:
            continue
        for name in names:
            if name.startswith(f"{_FOREIGN}-") and name.endswith((".dist-info", ".egg-info")):
                return os.path.join(folder, name)  # noqa: PTH118
    return None


def foreign_warning(found: str) -> str:
    """The warning to those who have installed both distributions.

    Args:
        found: by ``foreign_distribution``.
    """
    return (
        f"another distribution named {_FOREIGN!r} is installed ({found}), and its files replace"
        f" those of {DISTRIBUTION}: pip uninstall {_FOREIGN} {DISTRIBUTION}, then install"
        f" {DISTRIBUTION} again"
    )


def _requirement(extra: str) -> list[str]:
    """The arguments of ``pip install``, by the record that pip keeps of its source (PEP 610)."""
    import json
    from importlib import metadata

    # A clone may hold the folder of an earlier build, which has no record.
    found = metadata.distributions(name=DISTRIBUTION)
    text = next(filter(None, (each.read_text("direct_url.json") for each in found)), None)
    if text is None:
        clone = Path(__file__).resolve().parents[1]
        if (clone / "pyproject.toml").is_file():  # it runs without being installed
            return ["-e", f"{_as_typed(clone)}[{extra}]"]
        return [f"{DISTRIBUTION}[{extra}]"]  # from an index
    record = json.loads(text)
    if (path := _local_path(record["url"])) is None:
        return [f"{DISTRIBUTION}[{extra}] @ {_vcs_prefix(record)}{record['url']}"]
    editable = record.get("dir_info", {}).get("editable", False)
    return [*(["-e"] if editable else []), f"{_as_typed(path)}[{extra}]"]


def _local_path(url: str) -> Path | None:
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def _vcs_prefix(record: dict[str, dict[str, str]]) -> str:
    """``git+`` for a URL that was cloned by git."""
    return f"{record['vcs_info']['vcs']}+" if "vcs_info" in record else ""


def _as_typed(path: Path) -> str:
    """A path relative to the current folder where it lies below, in a form that pip accepts."""
    try:
        here = Path.cwd()
    except OSError:  # the folder was deleted
        return str(path)
    if path == here:
        return "."
    return f"./{path.relative_to(here)}" if path.is_relative_to(here) else str(path)
