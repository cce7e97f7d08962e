"""What the command lines of the benchmarks share."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import typer

from voxedge.cli.run import run_app
from voxedge.errors import UsageError


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
    """Run an application; its exit code.

    Args:
        app: its commands return an exit code, or None for success.
        name: as it is typed, for help and messages.
        arguments: without the name; None for those of this process.
    """
    return run_app(app, sys.argv[1:] if arguments is None else arguments, name)


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
