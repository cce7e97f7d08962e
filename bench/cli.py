"""Run the benchmarks' Typer apps: failures become the exit codes that ``voxedge`` itself has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from typer.main import get_command

from voxedge.cli.console import complain
from voxedge.errors import UsageError, VoxedgeError

_BadUsage: Any = typer.BadParameter.__mro__[1]  # click's UsageError, wherever Typer keeps it


def new_app(help: str | None = None) -> typer.Typer:  # noqa: A002 - Typer's own name for it
    """A Typer application as the benchmarks use it; ``help`` is for one with several commands."""
    return typer.Typer(
        help=help,
        add_completion=False,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run(app: typer.Typer, name: str, arguments: Sequence[str] | None) -> int:
    """Run an application.

    Args:
        app: its commands return an exit code, or None for success.
        name: how people call it, for help and messages.
        arguments: without the name; None for those of this process.

    Returns:
        The command's exit code, or that of its failure (docs/errors.md); a failed subprocess has
        reported its error, so its exit code alone is passed on.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return get_command(app)(words, prog_name=name, standalone_mode=False) or 0
    except _BadUsage as error:
        where = error.ctx.command_path if error.ctx is not None else name
        complain(UsageError(error.format_message().rstrip("."), f"{where} --help"))
        return UsageError.exit_code
    except VoxedgeError as error:
        complain(error)
        return error.exit_code
    except subprocess.CalledProcessError as error:
        return int(error.returncode)


def choose(flag: str, text: str | None, known: Iterable[str]) -> list[str]:
    """The names of an option that takes several with commas, in the order given; None for all.

    Raises:
        UsageError: one of them is not among ``known``.
    """
    options = list(known)
    names = options if text is None else text.split(",")
    if unknown := [name for name in names if name not in options]:
        raise UsageError(f"{flag}: no such name: {', '.join(unknown)}", ", ".join(options))
    return names
