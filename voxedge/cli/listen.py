"""``voxedge listen``: who is speaking at the microphone."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from voxedge.cli import console, options
from voxedge.cli.limit import Limit
from voxedge.cli.naming import choose_namer
from voxedge.inference.identifier import Identifier, default_embedding_model
from voxedge.text import printable
from voxedge.timeline.listening import Update, listen
from voxedge.timeline.microphone import Microphone, microphones

_NAME = 24  # columns
_QUIETEST = 60.0  # dB below full scale, at which the meter is empty

app = options.command_app()


@app.command(name="listen")
def listen_command(
    model: options.ModelFile = None,
    gallery: options.NamingGallery = None,
    trust: options.Trust = None,
    accept: options.Accept = options.DEFAULT_SHARE,
    always_answer: options.AlwaysAnswer = False,
    cosine: options.Cosine = None,
    microphone: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER|NAME", help="Which one.", show_default="the system's own choice"
        ),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Show the microphones, and end.")] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0.0, help="End after so many.", show_default="Ctrl-C")
    ] = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> int:
    """Say who is speaking, twice a second or more: name, score and level."""
    if listing:
        rows = [(f"{m.number}", m.name, f"{m.channels}", f"{m.rate}") for m in microphones()]
        console.show_table("", ["number", "name", "channels", "Hz"], rows)
        return 0
    chosen = model or (None if gallery is None else default_embedding_model())
    identifier = Identifier(chosen, device=device)
    for note in identifier.notes:
        console.warn(note)
    if gallery is None:
        identifier.require_speakers()
    name = choose_namer(identifier, gallery, Limit(accept, cosine, always_answer), trust=trust)
    late = 0
    for update in listen(Microphone(microphone, identifier.sample_rate), identifier, name):
        if as_json:
            console.answer(json.dumps(update.to_dict()))
        else:
            console.replace_line(_line(update))
        if update.late > late:
            late = update.late
            console.warn(f"too slow: {late} frames dropped so far")
        if seconds is not None and update.seconds >= seconds:
            break
    return 0


def _line(update: Update) -> str:
    """Level, and the nearest name with its score."""
    meter = console.bar(max(0.0, 1 + update.level / _QUIETEST))
    answer = update.answer
    said = "no speech"
    if answer is not None:
        rows: Sequence[tuple[str, float]] = answer.matches or answer.predictions
        nearest, value = rows[0]
        score = f"cosine {value:5.2f}" if answer.matches else f"{100 * value:5.1f} %"
        who = console.colour("1", f"{printable(nearest, _NAME):<{_NAME}}", sys.stdout)
        if answer.speaker is None:
            who = f"{f'unknown, nearest {printable(nearest, _NAME)}':<{_NAME}}"
        said = f"{who}  {score}"
    return f"{update.seconds:7.1f} s  {meter} {update.level:6.1f} dBFS  {said}"
