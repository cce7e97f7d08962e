"""``voxedge web``: a page that names speakers in a browser, on the device alone."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from voxedge.cli import console, options
from voxedge.inference.identifier import default_model
from voxedge.web.server import SiteServer
from voxedge.web.site import write_site

_PORT = 8765

app = options.command_app()


@app.command()
def web(
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL", help="Model file.", show_default="$VOXEDGE_MODEL, else model.onnx"
        ),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            parser=options.gallery_file,
            metavar="FILE",
            help="Name those who are enrolled in it; others can be added.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Of the site.", show_default="site; with --serve a temporary one"
        ),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve it on this machine, until Ctrl-C.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Of --serve; 0 takes a free one.")
    ] = _PORT,
) -> None:
    """Write a page of static files: clips and microphone in, names out, nothing sent anywhere."""
    with ExitStack() as stack:
        folder = out or Path("site")
        if serve and out is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voxedge-")))
        site = write_site(folder, Path(model or default_model()), gallery)
        if out or not serve:
            console.say(f"{folder}: {site.files} files, {site.size / 1e6:.1f} MB")
        if site.people is not None:
            console.warn(
                f"whoever opens the page gets the names and embeddings of {site.people} people"
            )
        if serve:
            server = stack.enter_context(SiteServer(folder, port))
            console.answer(server.url)
            server.serve_forever()
