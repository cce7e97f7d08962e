"""How this installation came to be, and the pip command that adds to it.

The name ``voxedge`` on the package index belongs to another project (a voice-conversation toolkit),
so no hint may name it: ``pip install voxedge`` would fetch a stranger's code.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from voxedge.errors import MissingExtra

DISTRIBUTION = "voxedge-speaker"
_FOREIGN = "voxedge"  # the other project's distribution, whose import package has our name


def install_command(extra: str) -> str:
    """The command that installs an extra where this installation came from.

    From a clone it names the clone's folder, from a wheel that file; what came from an index is
    asked for by the distribution's own name.
    """
    return f"pip install {shlex.quote(f'{_origin()}[{extra}]')}"


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Around imports that a device install does not have.

    Raises:
        MissingExtra: one of them is missing; it names the command that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "voxedge":
            raise
        raise MissingExtra(f"this needs {error.name}", install_command(extra)) from error


def foreign_distribution() -> str | None:
    """Where another project's ``voxedge`` is installed, if it is: its files shadow ours.

    File names alone are looked at: this runs at every start of the command line.
    """
    for folder in dict.fromkeys(sys.path):
        try:
            names = os.listdir(folder or os.curdir)  # noqa: PTH208 - loads no pathlib work
        except OSError:
            continue
        for name in names:
            if name.startswith(f"{_FOREIGN}-") and name.endswith((".dist-info", ".egg-info")):
                return os.path.join(folder, name)  # noqa: PTH118 - loads no pathlib work
    return None


def foreign_warning(found: str) -> str:
    """What to tell people who have both."""
    return (
        f"another project's distribution {_FOREIGN!r} is installed ({found}) and replaces files of"
        f" {DISTRIBUTION}: pip uninstall {_FOREIGN} {DISTRIBUTION}, then install the latter again"
    )


def _origin() -> str:
    from importlib import metadata

    clone = Path(__file__).resolve().parents[1]
    try:
        recorded = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return _as_typed(clone)
    if recorded is None:
        return DISTRIBUTION
    path = Path(unquote(urlsplit(json.loads(recorded)["url"]).path))
    return _as_typed(path)


def _as_typed(path: Path) -> str:
    """As one would type it in the current folder, and as pip takes it for a path."""
    here = Path.cwd()
    if path == here:
        return "."
    return f"./{path.relative_to(here)}" if path.is_relative_to(here) else str(path)
