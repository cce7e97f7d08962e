"""``voxedge verify``: whether two clips, or a person and a clip, are one voice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from voxedge.cli import console, options
from voxedge.gallery.gallery import Gallery
from voxedge.gallery.verification import Verification, verify_clips
from voxedge.inference.identifier import Identifier, default_embedding_model
from voxedge.text import printable

DIFFERENT = 7  # exit code

app = options.command_app()


@app.command()
def verify(
    first: Annotated[
        str, typer.Argument(metavar="A", help="A clip; with --gallery a person's name.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="A clip.")],
    gallery: Annotated[
        Path | None,
        typer.Option(
            parser=options.gallery_file, metavar="FILE", help="A is a person who is enrolled in it."
        ),
    ] = None,
    trust: options.Trust = None,
    model: options.EmbeddingModel = None,
    accept: options.Accept = options.DEFAULT_SHARE,
    cosine: options.Cosine = None,
    device: options.Device = "auto",
    any_sound: options.AnySound = False,
    as_json: options.Json = False,
) -> int:
    """Decide whether A and B are the same voice: exit code 0 if so, 7 if not."""
    chosen = model or default_embedding_model()
    identifier = Identifier(chosen, device=device, any_sound=any_sound)
    if gallery is None:
        options.require_gallery(trust)
        found = verify_clips(identifier, first, second, accept=accept, cosine=cosine)
    else:
        people = Gallery(gallery, identifier, trust=trust)
        found = people.verify(first, second, accept=accept, cosine=cosine)
    if as_json:
        console.answer(json.dumps({"a": first, "b": second, **found.to_dict()}))
    else:
        _show(first, second, found)
    return 0 if found.same else DIFFERENT


def _show(first: str, second: str, found: Verification) -> None:
    line = found.threshold
    origin = "given"
    if line.accept is not None:
        origin = f"for {line.accept:.2%} of strangers, measured on {line.speakers} speakers"
    chance = found.probability
    probability = "" if chance is None else f", one voice with {100 * chance:.1f} % probability"
    console.answer(
        f"{'the same voice' if found.same else 'another voice'}: {printable(first)} and"
        f" {printable(second)}{probability}, cosine {found.cosine:.3f}, threshold"
        f" {line.cosine:.3f} ({origin})"
    )
