"""``python -m bench.record SIZE ...``: the accuracy of another image size, trunk or width.

Trains the benchmark's network (prepare.py) on images of that size, exports it in each precision,
and keeps top-1 and top-5 on the test clips in bench/records.json, for the table and the chart of
the benchmark. A record of the same trunk, width and size is replaced.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from bench import cli
from bench.clips import held_out_clips
from bench.prepare import export, train_or_reuse
from bench.results import FileAccuracy, Network, Record
from voxedge.audio.load import load_audio
from voxedge.cli.console import say
from voxedge.errors import UsageError, VoxedgeError
from voxedge.files import write_json
from voxedge.inference.identifier import Identifier
from voxedge.metrics import bootstrap, top_k_hits
from voxedge.nn.trunks import TRUNKS
from voxedge.train.run import Run

RECORDS = Path(__file__).parent / "records.json"
PRECISIONS = ("fp32", "fp16", "int8")

app = cli.new_app()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit code."""
    return cli.run(app, "python -m bench.record", arguments)


@app.command()
def record_sizes(
    sizes: Annotated[
        list[int], typer.Argument(metavar="SIZE...", help="Pixels of a side of the image.")
    ],
    trunk: Annotated[str, typer.Option(help=f"One of {', '.join(TRUNKS)}.")] = "resnet18",
    width: Annotated[float, typer.Option(help="Channels, as a share of the trunk's own.")] = 1.0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few speakers, to see that it works.")
    ] = False,
    to: Annotated[Path, typer.Option(help="The file of records.")] = RECORDS,
) -> None:
    """Train the benchmark's network at other image sizes, and record its accuracy."""
    if trunk not in TRUNKS:
        raise UsageError(f"--trunk: no such trunk: {trunk}", ", ".join(TRUNKS))
    for size in sizes:
        changes = {"frontend.image_size": size, "model.trunk": trunk, "model.width": width}
        run, corpus = train_or_reuse(quick, changes)
        found = measure(run, corpus)
        keep(to, found)
        shown = ", ".join(
            f"{precision} {100 * accuracy['top1']['value']:.1f} %"
            for precision, accuracy in found["precisions"].items()
        )
        say(f"{network_name(found)}, {size} pixels: top-1 {shown}")


def read(file: Path = RECORDS) -> list[Record]:
    """All records."""
    records: list[Record] = json.loads(file.read_text()) if file.is_file() else []
    return records


def keep(file: Path, record: Record) -> None:
    """Put a record in the file, in place of one of the same network."""
    kept = [old for old in read(file) if network_key(old) != network_key(record)]
    write_json(file, sorted([*kept, record], key=network_key))


def network_key(network: Network) -> tuple[str, float, int]:
    """Trunk, width and image size, to find and sort by."""
    return network["trunk"], network["width"], network["image_size"]


def network_name(network: Network) -> str:
    """Trunk and width, for people."""
    trunk, width = network["trunk"], network["width"]
    return trunk if width == 1 else f"{trunk} x {width:g}"


def measure(run: Run, corpus: str) -> Record:
    """Export a run in each precision, and measure what the exporter does not refuse."""
    recipe, metrics = run.recipe(), run.metrics()
    precisions: dict[str, FileAccuracy] = {}
    for precision in PRECISIONS:
        try:
            model = export(run, f"record-{precision}", precision)
        except VoxedgeError as error:
            say(f"going on without {precision}: {error}")
        else:
            precisions[precision] = measure_file(model, run)
    return {
        "trunk": recipe.model.trunk,
        "width": recipe.model.width,
        "image_size": recipe.frontend.image_size,
        "corpus": corpus,
        "speakers": len(run.labels()),
        "epochs": metrics["epochs"],
        "train_seconds": round(metrics["seconds"], 1),
        "precisions": precisions,
    }


def measure_file(model: Path, run: Run) -> FileAccuracy:
    """Top-1 and top-5 of a file on the run's test clips, all windows of each, with intervals."""
    identifier, clips = Identifier(model, device="cpu"), held_out_clips(run)
    classes = {label: index for index, label in enumerate(identifier.labels)}
    truth = np.array([classes[clip.speaker] for clip in clips])
    samples = ((None, load_audio(clip.source, identifier.sample_rate)) for clip in clips)
    probabilities = np.stack([scores.probabilities for scores in identifier.score(samples)])
    top1, top5 = (bootstrap(top_k_hits(probabilities, truth, k), truth) for k in (1, 5))
    return {
        "top1": top1.as_dict(),
        "top5": top5.as_dict(),
        "clips": len(clips),
        "file_bytes": model.stat().st_size,
    }


if __name__ == "__main__":
    sys.exit(main())
