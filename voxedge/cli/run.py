"""Runs a Typer application: its exit code, and one clear line for whatever goes wrong.

The library raises errors, and they become exit codes here (docs/errors.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer
from typer.main import get_command

from voxedge.cli import console
from voxedge.cli.signals import interruptible
from voxedge.errors import Interrupted, UsageError, VoxedgeError
from voxedge.text import printable

DEBUG = "--debug"
_BadUsage: type = typer.BadParameter.__mro__[1]  # click's UsageError, wherever Typer keeps it


def run_app(app: typer.Typer, arguments: Sequence[str], name: str) -> int:
    """Run one command; its exit code.

    Args:
        app: the application.
        arguments: without the program's name; ``--debug`` among them lets errors through.
        name: of the program, as it is typed.
    """
    words, debug = without_debug(arguments)
    try:
        with interruptible():
            status = get_command(app)(words, prog_name=name, standalone_mode=False)
        if status == 130:  # Typer makes an exit code of KeyboardInterrupt
            console.say("stopped")
        return status or 0
    except Interrupted as stop:
        console.say(str(stop))
        return stop.status
    except Exception as error:
        if debug:
            raise
        return _exit_code(error, name)


def without_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments without ``--debug``, and whether it stood there; not after ``--``."""
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != DEBUG]
    return kept + words[end:], len(kept) < end


def _exit_code(error: Exception, name: str) -> int:
    """Say what went wrong; the exit code for it."""
    if isinstance(error, _BadUsage):
        return _complain_of_usage(error, name)
    if isinstance(error, VoxedgeError):
        console.complain(error)
        return error.exit_code
    if isinstance(error, OSError):  # a full disk, a read-only folder
        where = f"{error.filename}: " if error.filename else ""
        console.complain(VoxedgeError(f"{where}{error.strerror or error}"))
        return VoxedgeError.exit_code
    console.say(f"internal error: {type(error).__name__}: {printable(str(error), 500)}")
    console.say(f"  run it again as: {name} {DEBUG} ...")
    return VoxedgeError.exit_code


def _complain_of_usage(error: Any, name: str) -> int:  # noqa: ANN401 - click's UsageError
    """Arguments that Typer refuses, in the words of every other error."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        where = error.ctx.command_path if error.ctx is not None else name
        console.complain(UsageError(error.format_message().rstrip("."), f"{where} --help"))
    return UsageError.exit_code
