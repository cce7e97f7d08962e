"""What several commands share: their kind of Typer application, and flags that mean the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from voxedge.errors import UsageError

DEFAULT_DATA = Path("data")
DEFAULT_RUNS = Path("runs")

_TRAINING = "Run"
_CORPUS = "A corpus: DATA/SPEAKER/**/CLIP, a CSV file, or a folder of Kaldi, Parquet or shards."


def command_app(name: str | None = None, help: str | None = None) -> typer.Typer:  # noqa: A002
    """A Typer application for one command, or for a group of them under a name."""
    return typer.Typer(
        name=name,
        help=help,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode="markdown",
    )


def share(text: str | float) -> float:
    """A share of strangers: ``5%`` or ``0.05``."""
    words = str(text).strip()
    try:
        value = float(words.removesuffix("%")) / (100 if words.endswith("%") else 1)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise typer.BadParameter(f"{words!r} is no share: 5%, or 0.05")
    return value


def one_corpus(arguments: Sequence[Path] | None) -> Path:
    """The corpus that is meant: several arguments are what a shell made of ``{0000..0099}.tar``.

    Raises:
        UsageError: they are not the shards of one folder.
    """
    if not arguments:
        return DEFAULT_DATA
    if len(arguments) == 1:
        return arguments[0]
    folders = {path.parent for path in arguments}
    if len(folders) > 1 or any(path.suffix != ".tar" for path in arguments):
        raise UsageError("more than one corpus", "several arguments must be shards of one folder")
    return folders.pop() / f"{{{','.join(path.stem for path in arguments)}}}.tar"


def gallery_file(text: str | Path) -> Path:
    """The file of a gallery, and no URL of a published one."""
    if "://" in str(text):
        raise typer.BadParameter(
            "a gallery in a database can only be named by (identify, timeline, listen): give the"
            " file that it was exported from"
        )
    return Path(text)


def require_gallery(trust: Path | None) -> None:
    """Refuse a key where there is no gallery that it could be of.

    Raises:
        UsageError: there is one.
    """
    if trust is not None:
        raise UsageError("--trust is of a gallery", "--gallery people.vxg")


Json: TypeAlias = Annotated[bool, typer.Option("--json", help="One JSON object a line, on stdout.")]
Corpus: TypeAlias = Annotated[Path, typer.Argument(metavar="DATA", help=_CORPUS)]
CorpusOrShards: TypeAlias = Annotated[
    list[Path] | None,
    typer.Argument(metavar="DATA", help=_CORPUS, show_default=str(DEFAULT_DATA)),
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
EmbeddingModel: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Model file; base is the network that ships.",
        show_default="$VOXEDGE_MODEL, else model.onnx, else base",
    ),
]
AnySound: TypeAlias = Annotated[
    bool, typer.Option("--any-sound", help="Also noise and music: do not look for speech.")
]
GalleryFile: TypeAlias = Annotated[
    Path, typer.Option("--gallery", parser=gallery_file, metavar="FILE", help="The gallery's file.")
]
DEFAULT_PEOPLE = Path("people.vxg")
NamingGallery: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--gallery",
        metavar="FILE|URL",
        help="Name those who are enrolled in it, in place of the model's own speakers.",
    ),
]
Trust: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--trust", metavar="PUBKEY", help="Refuse a gallery that is not signed by this key."
    ),
]
Accept: TypeAlias = Annotated[
    float,
    typer.Option(
        parser=share,
        metavar="SHARE",
        help="Share of strangers who may be let through; the threshold follows from it.",
        show_default="5%",
    ),
]
DEFAULT_SHARE = 0.05
AlwaysAnswer: TypeAlias = Annotated[
    bool, typer.Option("--always-answer", help="Name the nearest person, strangers included.")
]
Cosine: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--threshold", metavar="COSINE", help="In its place: the least cosine.", show_default=False
    ),
]
