"""``voxedge serve``: a model file, and a gallery of people, behind HTTP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from voxedge.cli import console, options
from voxedge.errors import UsageError
from voxedge.inference.identifier import Identifier, default_embedding_model
from voxedge.install import needs_extra
from voxedge.threads import available_processors

_LIMITS = "Limits"
_MIB = 1 << 20

app = options.command_app()


@app.command()
def serve(
    model: options.ModelFile = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            parser=options.gallery_file,
            metavar="FILE",
            help="Name and enrol its people, in place of the model's own speakers.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other machines need an API key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any that is free.")] = 8000,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the key that requests must carry.", show_default="$VOXEDGE_API_KEY"
        ),
    ] = None,
    device: options.Device = "auto",
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="That compute.", show_default="as many as processors"),
    ] = None,
    batch_size: options.BatchSize = 8,
    decoders: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that decode.",
            show_default="as many as processors",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    queue: Annotated[
        int,
        typer.Option(
            min=1, help="Requests at a time; further ones get 503.", rich_help_panel=_LIMITS
        ),
    ] = 64,
    max_mib: Annotated[
        int, typer.Option(min=1, help="MiB of a request.", rich_help_panel=_LIMITS)
    ] = 32,
    max_seconds: Annotated[
        float,
        typer.Option(help="Of a clip or a recording that are used.", rich_help_panel=_LIMITS),
    ] = 3_600.0,
) -> int:
    """Answer over HTTP: /identify, /enroll, /verify, /timeline, a stream on /listen, /metrics."""
    with needs_extra("serve"):
        from voxedge.service.app import create_app
        from voxedge.service.engine import Engine
        from voxedge.service.metrics import ServiceMetrics
        from voxedge.service.server import run
        from voxedge.service.settings import API_KEY_VARIABLE, Settings, require_key

    key = os.environ.get(API_KEY_VARIABLE, "") if api_key_file is None else _read(api_key_file)
    settings = Settings(
        api_key=key,
        batch_size=batch_size,
        queue=queue,
        max_bytes=max_mib * _MIB,
        max_seconds=max_seconds,
        decoders=decoders or available_processors(),
    )
    require_key(host, settings)
    chosen = model or (None if gallery is None else default_embedding_model())
    identifier = Identifier(chosen, device=device, threads=threads, batch_size=batch_size)
    for note in identifier.notes:
        console.warn(note)
    metrics = ServiceMetrics()
    engine = Engine(identifier, gallery, settings, metrics)
    run(create_app(engine, metrics), host, port, lambda url: console.say(f"listening on {url}"))
    console.say("stopped; every request that was taken is answered")
    return 0


def _read(path: Path) -> str:
    try:
        key = path.read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if not key:
        raise UsageError(f"{path} is empty", "put a long random word in it")
    return key
