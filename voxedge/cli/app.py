"""The Typer application ``voxedge``: which commands there are.

A command's module is imported when the command is named: with all of them registered at once,
``identify`` would start a quarter later (docs/decisions.md). Commands import torch, onnx and
matplotlib inside, so that help and the device commands work without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

import voxedge
from voxedge.cli import console
from voxedge.cli.run import DEBUG, run_app
from voxedge.install import foreign_distribution, foreign_warning

#: The commands, in the order of the help: each is the ``app`` of the module of its name.
COMMANDS = (
    *("train", "distill", "export", "fold", "identify", "enroll", "gallery", "verify"),
    *("timeline", "listen", "web", "serve", "evaluate", "compare", "tune", "data", "inspect"),
    "doctor",
)


class _Commands(Mapping[str, Any]):
    """Command names -> commands, each imported when it is asked for."""

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - a command of Typer's click
        if name not in COMMANDS:
            raise KeyError(name)
        return get_command(import_module(f"voxedge.cli.{name}").app)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class LazyGroup(TyperGroup):
    """A group that imports only the command that is named."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - as Typer passes them on
        super().__init__(**attributes)
        self.commands = _Commands()  # type: ignore[assignment]

    def list_commands(self, _ctx: object) -> list[str]:
        """Names alone: listing loads nothing."""
        return list(COMMANDS)


app = typer.Typer(
    name="voxedge",
    help="Train a speaker identifier on your own recordings; run it as one ONNX file.",
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.answer(voxedge.__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show tracebacks; may stand anywhere.")
    ] = False,
) -> None:
    """What every command has."""


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code."""
    if found := foreign_distribution():
        console.warn(foreign_warning(found))
    return run_app(app, arguments, "voxedge")
