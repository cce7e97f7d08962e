"""``voxedge timeline``: who spoke when in a recording."""

from __future__ import annotations

import json
import shutil
import sys
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from voxedge.cli import console, options
from voxedge.cli.limit import Limit
from voxedge.cli.naming import choose_namer
from voxedge.errors import UsageError
from voxedge.files import atomic_write
from voxedge.inference.identifier import Identifier, default_embedding_model
from voxedge.text import printable
from voxedge.timeline.clustering import SpeakerCount
from voxedge.timeline.picture import draw, require_matplotlib
from voxedge.timeline.record import Segment, Timeline
from voxedge.timeline.timeline import Settings, who_spoke_when

_SPEAKERS, _FILES = "Speakers", "Files to write"
_NAME = 16  # columns that a name may take beside the strip
_NARROWEST, _WIDEST = 20, 120  # columns of the strip
_LEVELS = " ▁▂▃▄▅▆▇█"
_ASCII_LEVELS = " .:-=+*##"
_COLOURS = ("36", "33", "35", "32", "34", "31")
_PIPE = 80  # columns where there is no terminal

app = options.command_app()


@app.command()
def timeline(
    path: Annotated[str, typer.Argument(metavar="RECORDING", help="A file.")],
    model: options.EmbeddingModel = None,
    gallery: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL",
            help="Name those who are enrolled in it; the others are unknown-1, ...",
        ),
    ] = None,
    trust: options.Trust = None,
    accept: options.Accept = options.DEFAULT_SHARE,
    always_answer: options.AlwaysAnswer = False,
    cosine: options.Cosine = None,
    no_names: Annotated[
        bool, typer.Option("--no-names", help="Leave everybody unknown that the model file knows.")
    ] = False,
    num_speakers: Annotated[
        int | None, typer.Option(min=1, help="So many.", rich_help_panel=_SPEAKERS)
    ] = None,
    min_speakers: Annotated[
        int | None, typer.Option(min=1, help="At least.", rich_help_panel=_SPEAKERS)
    ] = None,
    max_speakers: Annotated[
        int | None, typer.Option(min=1, help="At most.", rich_help_panel=_SPEAKERS)
    ] = None,
    alike: Annotated[
        float | None,
        typer.Option(
            metavar="COSINE",
            help="Voices that are less alike are two speakers.",
            show_default="measured for the model file",
            rich_help_panel=_SPEAKERS,
        ),
    ] = None,
    device: options.Device = "auto",
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="That compute.", show_default="as many as processors"),
    ] = None,
    batch_size: options.BatchSize = 8,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a recording that is cut off.")
    ] = False,
    as_json: options.Json = False,
    png: Annotated[Path | None, typer.Option(help="A picture.", rich_help_panel=_FILES)] = None,
    rttm: Annotated[
        Path | None, typer.Option(help="The segments in RTTM.", rich_help_panel=_FILES)
    ] = None,
) -> int:
    """Say who spoke when: one speaker at a time, named or unknown-1, unknown-2, ..."""
    count = _count(num_speakers, min_speakers, max_speakers)
    for file in filter(None, (png, rttm)):
        if not file.absolute().parent.is_dir():
            raise UsageError(f"there is no folder {file.parent} for {file.name}")
    if png is not None:
        require_matplotlib()
    if alike is not None and not -1 <= alike <= 1:
        raise UsageError(f"a cosine is between -1 and 1, not {alike}")
    chosen = model or default_embedding_model()
    identifier = Identifier(chosen, device=device, threads=threads, batch_size=batch_size)
    for note in identifier.notes:
        console.warn(note)
    settings = Settings(count, alike, strict=strict)
    name = choose_namer(
        identifier, gallery, Limit(accept, cosine, always_answer), not no_names, trust
    )
    with console.Progress("reading") as progress:
        found = who_spoke_when(
            path,
            identifier,
            name,
            settings,
            progress=lambda done, total: progress.update(round(done), round(max(done, total)), "s"),
        )
    for warning in found.warnings:
        console.warn(f"{path}: {warning}")
    if rttm is not None:
        with atomic_write(rttm) as out:
            out.write("".join(f"{line}\n" for line in found.rttm()).encode("utf-8", "replace"))
    if png is not None:
        draw(found, png)
    if as_json:
        console.answer(json.dumps(found.to_dict()))
    else:
        _show(found)
    return 0


def _count(exactly: int | None, least: int | None, most: int | None) -> SpeakerCount:
    if exactly is None:
        return SpeakerCount(least or 1, most)
    if least is not None or most is not None:
        raise UsageError("--num-speakers goes without --min-speakers and --max-speakers")
    return SpeakerCount(exactly, exactly)


def _show(found: Timeline) -> None:
    """The turns, then a strip for each speaker."""
    named = any(each.probability is not None for each in found.segments)
    measure = "probability" if named else "cosine"
    rows = [
        _row(list(turn), named) for _, turn in groupby(found.segments, lambda each: each.speaker)
    ]
    console.show_table("", ["from", "to", "speaker", "speech", measure], rows)
    console.answer("")
    width = shutil.get_terminal_size((_PIPE, 0)).columns - _NAME - 12
    width = max(_NARROWEST, min(_WIDEST, width))
    for number, speaker in enumerate(found.speakers):
        own = [each for each in found.segments if each.speaker == speaker.speaker]
        drawn = strip(own, found.seconds, width)
        colour = _COLOURS[number % len(_COLOURS)]
        console.answer(
            f"{printable(speaker.speaker, _NAME):<{_NAME}}  "
            f"{console.colour(colour, drawn, sys.stdout)}  {clock(speaker.seconds):>8}"
        )


def _row(turn: list[Segment], named: bool) -> tuple[str, ...]:
    """A turn, which ends when somebody else speaks, as a row of the table.

    Where speakers are ``named`` by a model file, unknown ones have no probability.
    """
    seconds = [each.end - each.start for each in turn]
    scores = [each.probability if named else each.cosine for each in turn]
    score = sum(s * (score or 0) for s, score in zip(seconds, scores, strict=True)) / sum(seconds)
    return (
        clock(turn[0].start),
        clock(turn[-1].end),
        turn[0].speaker,
        f"{sum(seconds):.1f} s",
        "" if scores[0] is None else f"{score:.2f}",
    )


def strip(segments: list[Segment], seconds: float, width: int) -> str:
    """A bar for each of ``width`` parts of a recording: how much of it the segments fill."""
    utf = "utf" in (getattr(sys.stdout, "encoding", None) or "").lower()
    levels = _LEVELS if utf else _ASCII_LEVELS
    part = seconds / width
    filled = [0.0] * width
    for each in segments:
        first, last = int(each.start / part), min(width - 1, int(each.end / part))
        for column in range(first, last + 1):
            low, high = max(each.start, column * part), min(each.end, (column + 1) * part)
            filled[column] += max(0.0, high - low) / part
    # Rounded up: a single word is seen in an hour.
    return "".join(levels[min(len(levels) - 1, -int(-share * 8 // 1))] for share in filled)


def clock(seconds: float) -> str:
    """``1:02:03.4``, ``2:03.4``."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    front = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{front}:{rest / 10:04.1f}"
