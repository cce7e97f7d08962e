"""``voxedge export``: write a finished run as one model file, unless ONNX Runtime differs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from voxedge.cli import console, options
from voxedge.errors import UsageError
from voxedge.inference.identifier import DEFAULT_MODEL
from voxedge.inference.open_set import OpenSet
from voxedge.install import needs_extra

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voxedge.export.accuracy import AccuracyLoss
    from voxedge.export.parity import Row
    from voxedge.export.pipeline import Exported
    from voxedge.export.student import ExportedStudent
    from voxedge.model_file.metadata import Metadata

_BUFFER = "Input buffer of the device"

app = options.command_app()


@app.command()
def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The file to write.")] = Path(
        DEFAULT_MODEL
    ),
    run: Annotated[
        Path,
        typer.Option(help="A run folder, a folder of runs, or the folder of a distilled student."),
    ] = options.DEFAULT_RUNS,
    data: Annotated[
        Path | None,
        typer.Option(
            help="The corpus folder, if it moved; of a student, clips that int8 is measured on;"
            " with --gallery, clips to compare on."
        ),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            parser=options.gallery_file,
            metavar="FILE",
            help="Of no run, but of people who are enrolled: their names, without training.",
        ),
    ] = None,
    embeddings: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="With --gallery: the model file that it belongs to.",
            show_default="$VOXEDGE_MODEL, else model.onnx, else base",
        ),
    ] = None,
    impostors: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Clips of other people, to tell strangers by.",
            show_default="each speaker is a stranger to the others",
        ),
    ] = None,
    licence: Annotated[str, typer.Option(help="Of the model, for its metadata.")] = "",
    source: Annotated[
        str, typer.Option(help="Of a student: what it learned from, for its metadata.")
    ] = "",
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option(help="int8: a quarter of the size, faster on a CPU; fp16: for GPUs."),
    ] = "fp32",
    ort: Annotated[
        bool,
        typer.Option(
            "--ort",
            help="Also write .ort and its operator list, for minimal builds of ONNX Runtime.",
        ),
    ] = False,
    triton: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Also put it into this model repository of Triton's server."
        ),
    ] = None,
    input_rate: Annotated[
        int | None,
        typer.Option(
            help="Hz; the model resamples.", show_default="the model's", rich_help_panel=_BUFFER
        ),
    ] = None,
    input_type: Annotated[
        Literal["float32", "int16"], typer.Option(help="Of a sample.", rich_help_panel=_BUFFER)
    ] = "float32",
    input_channels: Annotated[
        int, typer.Option(help="Interleaved; the model averages them.", rich_help_panel=_BUFFER)
    ] = 1,
    ragged: Annotated[
        bool,
        typer.Option(
            "--ragged",
            help="The clips of a batch in one buffer, with their counts, in place of padded rows.",
            rich_help_panel=_BUFFER,
        ),
    ] = False,
) -> None:
    """Write the best network of a run as ONE file: samples in, names out.

    Of a student of voxedge distill: samples in, embedding out. Of a gallery: the names of its
    people.

    Nothing is written if ONNX Runtime's outputs differ from PyTorch's, or if int8 or fp16 loses
    more than 0.5 points of top-1 or 0.3 of top-5 accuracy on the validation clips.
    """
    with needs_extra("export"):
        from voxedge.export.input_format import InputFormat
        from voxedge.export.pipeline import export_run
        from voxedge.export.student import export_student
        from voxedge.train.distill.loop import STUDENT
        from voxedge.train.run import find_run

    if impostors and not impostors.is_dir():
        raise UsageError(f"there is no folder {impostors}")
    if model.is_dir():
        raise UsageError(f"{model} is a folder", "name a file: voxedge export model.onnx")
    if not model.parent.is_dir():
        raise UsageError(f"there is no folder {model.parent}")
    buffer = (input_rate, input_type, input_channels, ragged)
    if gallery is not None:
        of_runs = (run, impostors, source, precision, buffer)
        if of_runs != (options.DEFAULT_RUNS, None, "", "fp32", (None, "float32", 1, False)):
            raise UsageError(
                "--gallery goes without --run, --impostors, --source, --precision, --ragged and"
                " --input-...",
                "the file has the precision and the input of its model file",
            )
        _export_people(gallery, embeddings, model, data, licence)
        _also(model, ort, triton)
        return
    if embeddings is not None:
        raise UsageError("--model goes with --gallery", "--run names a run")
    if (run / STUDENT).is_file():
        if buffer != (None, "float32", 1, False):
            raise UsageError("a student's file takes rows of mono float32 at its own rate")
        if impostors:
            raise UsageError("a student names nobody: --impostors is of a run")
        console.say(f"exporting {run / STUDENT}")
        student = export_student(
            run / STUDENT,
            model,
            precision=precision,
            data=data,
            licence=licence,
            source=source,
            say=console.say,
        )
        _show_student(student)
        _also(model, ort, triton)
        return
    if source:
        raise UsageError("--source is of a student; a run's clips are its source")
    chosen = find_run(run)
    console.say(f"exporting {chosen.folder}")
    rate = input_rate or chosen.recipe().frontend.sample_rate
    done = export_run(
        chosen,
        model,
        data=data,
        impostors=impostors,
        licence=licence,
        precision=precision,
        input_format=InputFormat(rate, input_type, input_channels, ragged),
        say=console.say,
    )
    _show(done)
    console.answer(f"{model}: {len(done.metadata.labels)} speakers, {done.bytes / 1e6:.1f} MB")
    _also(model, ort, triton)
    flag = "" if str(model) == DEFAULT_MODEL else f" --model {model}"
    console.say(f"next: voxedge identify CLIP{flag}")


def _export_people(
    path: Path, embeddings: str | None, model: Path, data: Path | None, licence: str
) -> None:
    """Write the people of a gallery and its model file as one file."""
    with needs_extra("export"):
        from voxedge.export.people import export_people
    from voxedge.gallery.gallery import Gallery
    from voxedge.inference.identifier import Identifier, default_embedding_model

    people = Gallery(
        path, Identifier(embeddings or default_embedding_model(), device="cpu", any_sound=True)
    )
    done = export_people(people, model, data=data, licence=licence, say=console.say)
    _show_parity("parity with identify --gallery", done.parity)
    for share, line in done.metadata.gallery["thresholds"].items():
        if line["accept"] > float(share):
            console.warn(
                f"the threshold for {100 * float(share):g} % of strangers is for"
                f" {100 * line['accept']:.3g} %: no stricter one was measured"
            )
    names = len(done.metadata.labels)
    console.answer(f"{model}: {names} people, {done.bytes / 1e6:.1f} MB")
    console.say(f"next: voxedge identify CLIP --model {model}")


def _also(model: Path, ort: bool, triton: Path | None) -> None:
    """Write the same model in other forms, if they are wanted."""
    if ort:
        from voxedge.export.ort_format import write_ort

        console.answer(" and ".join(path.name for path in write_ort(model)))
    if triton:
        from voxedge.export.triton import write_triton

        console.answer(f"{write_triton(model, triton)} for Triton's server")


def _show_student(done: ExportedStudent) -> None:
    found = done.parity
    console.answer(
        f"embeddings within {found['embedding']:.1e} of PyTorch's, {found['clips']} clips"
        f" ({found['speech']})"
    )
    if done.loss is not None:
        console.answer(done.loss.describe())
    console.answer(
        f"{done.path}: embeddings of {done.metadata.embedding_dim} values,"
        f" {done.bytes / 1e6:.1f} MB"
    )


def _show(done: Exported) -> None:
    _show_parity("parity with PyTorch", done.parity)
    if done.accuracy is not None:
        _show_accuracy(done.accuracy)
    _show_thresholds(done.metadata)


def _show_parity(title: str, rows: Sequence[Row]) -> None:
    console.show_table(
        title,
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
            for row in rows
        ],
    )


def _show_thresholds(metadata: Metadata) -> None:
    """Which shares of strangers there are thresholds for, and who stood for strangers."""
    found = OpenSet.from_metadata(metadata.thresholds)
    if found is None:
        console.warn("strangers get a name: nobody stood for them (--impostors FOLDER)")
        return
    stated = [f"{100 * share:.3g} %" for share, value in found.accept.items() if value is not None]
    who = "of impostors" if found.basis == "impostors" else "of each speaker among the others"
    if stated:
        console.answer(
            f"thresholds for strangers by {found.clips} clips {who}: {', '.join(stated)}"
        )
    else:
        console.warn(f"strangers get a name: {found.clips} clips {who} are too few (--impostors)")


def _show_accuracy(loss: AccuracyLoss) -> None:
    """What lower precision loses, in all and by the confidence of the float32 network."""
    console.show_table(
        f"{loss.precision} compared with float32: {loss.clips} validation clips",
        ["", "float32", loss.precision, "lost", "allowed", "agreement"],
        [
            [
                f"top-{k}",
                *(f"{hits / loss.clips:.1%}" for hits in loss.hits[k]),
                f"{loss.lost(k)} clips",
                f"{loss.allowed(k)} clips",
                f"{loss.agreement[k]:.1%}",
            ]
            for k in loss.hits
        ],
    )
    console.show_table(
        "answers changed, by the confidence of float32",
        ["", "clips", "changed", ""],
        [
            [
                f"{band.low:.0%} to {band.high:.0%}",
                band.clips,
                band.changed,
                f"{band.changed / max(1, band.clips):.1%}",
            ]
            for band in loss.bands
        ],
    )
    if loss.in_float:
        console.answer(f"left in float32: {', '.join(loss.in_float)}")
