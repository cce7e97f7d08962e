"""The Typer application: which commands there are, and how failures become exit codes.

A command's module is imported when the command is named: with all of them registered at once,
``identify`` would start a quarter later (docs/decisions.md). Commands import torch, onnx and
matplotlib inside, so that help and the device commands work without them. The library raises;
errors become exit codes here and nowhere else.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command

import voxedge
from voxedge.cli import console
from voxedge.errors import Interrupted, UsageError, VoxedgeError
from voxedge.install import foreign_distribution, foreign_warning
from voxedge.text import printable

#: The commands, in the order of the help: each is the ``app`` of the module of its name.
COMMANDS = (
    *("train", "export", "identify", "evaluate", "compare"),
    *("tune", "data", "inspect", "doctor"),
)
_DEBUG = "--debug"
_BadUsage: type = typer.BadParameter.__mro__[1]  # click's UsageError, wherever Typer keeps it


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
        bool, typer.Option(_DEBUG, help="Show tracebacks; may stand anywhere.")
    ] = False,
) -> None:
    """What every command has."""


def main() -> NoReturn:
    """Run the command line and leave with its exit code (docs/errors.md)."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code."""
    words, debug = _without_debug(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    if found := foreign_distribution():
        console.warn(foreign_warning(found))
    try:
        status = get_command(app)(words, prog_name="voxedge", standalone_mode=False)
        if status == 130:  # Typer makes an exit code of KeyboardInterrupt
            console.say("stopped")
        return status or 0
    except _BadUsage as error:
        if debug:
            raise
        return _complain_of_usage(error)
    except VoxedgeError as error:
        if debug:
            raise
        if isinstance(error, Interrupted):
            console.say(str(error))
            return error.status
        console.complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        console.say("stopped")
        return 130
    except OSError as error:  # a full disk, a read-only folder
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        console.complain(VoxedgeError(f"{where}{error.strerror or error}"))
        return VoxedgeError.exit_code
    except Exception as error:
        if debug:
            raise
        kind = type(error).__name__
        console.say(f"internal error: {kind}: {printable(str(error), 500)}")
        console.say("  run it again as: voxedge --debug ...")
        return VoxedgeError.exit_code


def _without_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments without ``--debug``, and whether it stood there; not after ``--``."""
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != _DEBUG]
    return kept + words[end:], len(kept) < end


def _complain_of_usage(error: Any) -> int:  # noqa: ANN401 - click's UsageError
    """Arguments that Typer refuses, in the words of every other error."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        where = error.ctx.command_path if error.ctx is not None else "voxedge"
        console.complain(UsageError(error.format_message().rstrip("."), f"{where} --help"))
    return UsageError.exit_code


def _terminate(signum: int, _frame: object) -> NoReturn:
    raise Interrupted(signum, "terminated")
