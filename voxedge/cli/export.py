"""``voxedge export``: a finished run -> one model file, refused unless parity holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from voxedge.cli import console, options
from voxedge.errors import UsageError
from voxedge.inference.identifier import DEFAULT_MODEL
from voxedge.install import needs_extra

if TYPE_CHECKING:
    from voxedge.export.pipeline import Exported

_BUFFER = "Input buffer of the device"

app = options.command_app()


@app.command()
def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The file to write.")] = Path(
        DEFAULT_MODEL
    ),
    run: Annotated[
        Path, typer.Option(help="A run folder, or a folder of runs.")
    ] = options.DEFAULT_RUNS,
    data: Annotated[Path | None, typer.Option(help="Where the corpus lies, if it moved.")] = None,
    licence: Annotated[str, typer.Option(help="Of the model, for its metadata.")] = "",
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option(help="int8: a quarter of the size, faster on a CPU; fp16: for GPUs."),
    ] = "fp32",
    ort: Annotated[
        bool,
        typer.Option("--ort", help="Also for minimal builds: .ort, and the operators it needs."),
    ] = False,
    input_rate: Annotated[
        int | None,
        typer.Option(
            help="Hz; the file resamples.", show_default="the model's", rich_help_panel=_BUFFER
        ),
    ] = None,
    input_type: Annotated[
        Literal["float32", "int16"], typer.Option(help="Of a sample.", rich_help_panel=_BUFFER)
    ] = "float32",
    input_channels: Annotated[
        int, typer.Option(help="Interleaved; the file averages them.", rich_help_panel=_BUFFER)
    ] = 1,
) -> None:
    """Write the best network of a run as ONE file: samples in, names out.

    Nothing is written unless ONNX Runtime computes what PyTorch does, nor if int8 or fp16 loses
    more than 0.5 points of top-1 or 0.3 of top-5 on the validation clips.
    """
    with needs_extra("export"):
        from voxedge.export.input_format import InputFormat
        from voxedge.export.ort_format import write_ort
        from voxedge.export.pipeline import export_run
        from voxedge.train.run import find_run

    if model.is_dir():
        raise UsageError(f"{model} is a folder", "name a file: voxedge export model.onnx")
    if not model.parent.is_dir():
        raise UsageError(f"there is no folder {model.parent}")
    chosen = find_run(run)
    console.say(f"exporting {chosen.folder}")
    rate = input_rate or chosen.recipe().frontend.sample_rate
    done = export_run(
        chosen,
        model,
        data=data,
        licence=licence,
        precision=precision,
        input_format=InputFormat(rate, input_type, input_channels),
        say=console.say,
    )
    _show(done, precision)
    console.answer(f"{model}: {len(done.metadata.labels)} speakers, {done.bytes / 1e6:.1f} MB")
    if ort:
        console.answer(" and ".join(path.name for path in write_ort(model)))
    flag = "" if str(model) == DEFAULT_MODEL else f" --model {model}"
    console.say(f"next: voxedge identify CLIP{flag}")


def _show(done: Exported, precision: str) -> None:
    console.show_table(
        "parity with PyTorch",
        ["", "windows", "logits", "probabilities", "embedding", "top-1", "top-5"],
        [
            [
                row.case,
                row.rows,
                f"{row.logits:.1e}",
                f"{row.probabilities:.1e}",
                f"{row.embedding:.1e}",
                f"{row.top1:.1%}",
                f"{row.top5:.1%}",
            ]
            for row in done.parity
        ],
    )
    if done.accuracy is not None:
        _show_accuracy(done.metadata.parity["accuracy"], precision)


def _show_accuracy(found: dict[str, Any], precision: str) -> None:
    """What lower precision cost (``parity.accuracy`` of a model file's metadata)."""
    console.show_table(
        f"{precision} beside float32: {found['clips']} validation clips",
        ["", "float32", precision, "lost", "allowed", "agreement"],
        [
            [
                f"top-{k}",
                f"{found[f'top{k}']['float32']:.1%}",
                f"{found[f'top{k}'][precision]:.1%}",
                f"{found[f'top{k}']['lost']} clips",
                f"{found[f'top{k}']['allowed']} clips",
                f"{found[f'top{k}']['agreement']:.1%}",
            ]
            for k in (1, 5)
        ],
    )
    console.show_table(
        "answers changed, by the confidence of float32",
        ["", "clips", "changed", ""],
        [
            [
                f"{band['low']:.0%} to {band['high']:.0%}",
                band["clips"],
                band["changed"],
                f"{band['changed'] / max(1, band['clips']):.1%}",
            ]
            for band in found["changed_by_confidence"]
        ],
    )
    if found["in_float"]:
        console.answer(f"left in float32: {', '.join(found['in_float'])}")
