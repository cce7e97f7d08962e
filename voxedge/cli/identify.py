"""``voxedge identify``: names for files, folders, patterns and stdin.

Only what one clip needs is imported: this command's start is measured beside a bare script.
"""

from __future__ import annotations

import glob
import json
import os
import sys
from collections.abc import Iterator
from typing import Annotated, Literal

import typer

from voxedge.audio.limits import Limits
from voxedge.audio.load import SUFFIXES
from voxedge.cli import console, options
from voxedge.errors import SomeFilesFailed, UsageError
from voxedge.inference.identifier import Identifier
from voxedge.inference.prediction import Failure, Prediction
from voxedge.text import printable

_NAME = 32  # columns that a speaker's name may take
_LIMITS = "Limits"
_DEFAULT = Limits()

app = options.command_app()


@app.command()
def identify(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATHS...", help="Files, folders, patterns; - for stdin.")
    ],
    model: options.ModelFile = None,
    top_k: Annotated[int, typer.Option(min=1, help="Guesses to show.")] = 5,
    batch_size: options.BatchSize = 8,
    device: options.Device = "auto",
    windows: Annotated[
        Literal["all", "first"], typer.Option(help="Average over a long clip, or take its start.")
    ] = "all",
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="That compute.", show_default="as many as processors"),
    ] = None,
    as_json: options.Json = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Refuse clips that are cut off.", rich_help_panel=_LIMITS),
    ] = False,
    min_seconds: Annotated[
        float | None,
        typer.Option(
            help="Shorter clips are refused; the model file's own minimum always holds.",
            show_default="the model file's",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    max_seconds: Annotated[
        float, typer.Option(help="Of one clip that are used.", rich_help_panel=_LIMITS)
    ] = _DEFAULT.max_seconds,
    min_rate: Annotated[
        int, typer.Option(help="Hz; files below are refused.", rich_help_panel=_LIMITS)
    ] = _DEFAULT.min_rate,
    max_rate: Annotated[
        int, typer.Option(help="Hz; files above are refused.", rich_help_panel=_LIMITS)
    ] = _DEFAULT.max_rate,
    max_channels: Annotated[
        int, typer.Option(help="Files with more are refused.", rich_help_panel=_LIMITS)
    ] = _DEFAULT.max_channels,
    max_bytes: Annotated[
        int,
        typer.Option(
            help="Larger files are refused; stdin is held in memory up to this.",
            rich_help_panel=_LIMITS,
        ),
    ] = _DEFAULT.max_bytes,
) -> int:
    """Say who speaks in each clip."""
    least = min_seconds or 0.0  # the model file's own minimum holds in any case
    limits = Limits(min_rate, max_rate, max_channels, max_seconds, max_bytes, least)
    identifier = Identifier(
        model,
        device=device,
        threads=threads,
        batch_size=batch_size,
        limits=limits,
        strict=strict,
    )
    for note in identifier.notes:
        console.warn(note)
    good, failed, worst = 0, 0, 0
    sources = _sources(paths, max_bytes)
    for result in identifier.identify_many(sources, top_k=top_k, windows=windows):
        if as_json:
            console.answer(json.dumps(result.to_dict()))
        elif isinstance(result, Failure):
            console.complain(result.error, result.path)
        else:
            _show(result)
        if isinstance(result, Failure):
            failed += 1
            worst = max(worst, result.error.exit_code)
        else:
            good += 1
            for warning in result.warnings:
                console.warn(f"{result.path}: {warning}")
    if failed and good:
        raise SomeFilesFailed(f"{failed} of {good + failed} clips have no answer")
    return worst


def _show(prediction: Prediction) -> None:
    """A clip's name and length, and a bar for each guess."""
    windows = f"{prediction.windows} window{'s' * (prediction.windows != 1)}"
    console.answer(
        console.colour("1", printable(prediction.path), sys.stdout)
        + f"  {prediction.seconds:.1f} s, {windows}"
    )
    if prediction.speaker is None:
        console.answer(f"  unknown: {prediction.reason}")
    names = [printable(score.speaker, _NAME) for score in prediction.predictions]
    width = max((len(name) for name in names), default=0)
    for name, score in zip(names, prediction.predictions, strict=True):
        bar = console.colour("36", console.bar(score.probability), sys.stdout)
        console.answer(f"  {name:<{width}}  {bar} {100 * score.probability:5.1f} %")


def _sources(paths: list[str], max_bytes: int) -> Iterator[str | bytes]:
    """Folders are searched for audio, patterns are expanded, ``-`` is read from stdin."""
    for path in paths:
        if path == "-":
            if sys.stdin is None:
                raise UsageError("- stands for stdin, which is closed")
            yield sys.stdin.buffer.read(max_bytes + 1)
        elif os.path.isdir(path):  # noqa: PTH112 - names may hold any bytes
            found = _clips_in(path)
            first = next(found, None)
            if first is None:
                console.warn(f"{path} holds no audio files")
            yield first or path
            yield from found
        elif not os.path.lexists(path) and glob.has_magic(path):
            matched = sorted(glob.glob(path, recursive=True))  # noqa: PTH207
            yield from _sources(matched, max_bytes) if matched else [path]
        else:
            yield path


def _clips_in(folder: str) -> Iterator[str]:
    """Audio files of a folder and those below, in the order of their paths, listed as they come."""
    names = []
    try:
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                names.append(entry.name + os.sep)
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:  # noqa: PTH122
                names.append(entry.name)
    except OSError:  # not allowed to look into it
        return
    for name in sorted(names):
        path = os.path.join(folder, name)  # noqa: PTH118
        if name.endswith(os.sep):
            yield from _clips_in(path[: -len(os.sep)])
        elif not (os.path.islink(path) and os.path.isdir(path)):  # noqa: PTH112, PTH114
            yield path  # a link to a folder may lead in a circle
