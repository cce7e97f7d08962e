"""What several commands share: their kind of Typer application, and flags that mean the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

DEFAULT_DATA = Path("data")
DEFAULT_RUNS = Path("runs")

_TRAINING = "Run"


def command_app(name: str | None = None, help: str | None = None) -> typer.Typer:  # noqa: A002
    """A Typer application for one command, or for a group of them under a name."""
    return typer.Typer(
        name=name,
        help=help,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode="markdown",
    )


Json: TypeAlias = Annotated[bool, typer.Option("--json", help="One JSON object a line, on stdout.")]
Corpus: TypeAlias = Annotated[
    Path, typer.Argument(metavar="DATA", help="A corpus: DATA/SPEAKER/**/CLIP, or a CSV file.")
]
Settings: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any recipe value: section.key=value."),
]
TrainingDevice: TypeAlias = Annotated[
    str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=_TRAINING)
]
TrainingPrecision: TypeAlias = Annotated[
    str, typer.Option(help="auto, fp32 or bf16.", rich_help_panel=_TRAINING)
]
TrainingThreads: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Threads that compute, on a CPU.",
        show_default="processors that are idle; with --resume those of the run",
        rich_help_panel=_TRAINING,
    ),
]
DecodingWorkers: TypeAlias = Annotated[
    int | None,
    typer.Option(
        help="Threads that decode.",
        show_default="as many as processors",
        rich_help_panel=_TRAINING,
    ),
]
Memory: TypeAlias = Annotated[
    int, typer.Option(help="MiB of decoded audio to hold.", rich_help_panel=_TRAINING)
]
Strict: TypeAlias = Annotated[
    bool,
    typer.Option("--strict", help="Stop at the first unusable clip.", rich_help_panel=_TRAINING),
]
BatchSize: TypeAlias = Annotated[int, typer.Option(min=1, help="Windows computed together.")]
Device: TypeAlias = Annotated[
    str, typer.Option(help="auto, cpu, cuda, tensorrt, openvino, coreml, ...")
]
ModelFile: TypeAlias = Annotated[
    str | None, typer.Option(help="Model file.", show_default="$VOXEDGE_MODEL, else model.onnx")
]
