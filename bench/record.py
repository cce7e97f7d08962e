"""``python -m bench.record SIZE ...``: what another image size, trunk or width reaches.

Trains the benchmark's network (prepare.py) on images of that size, exports it in each precision,
and keeps top-1 and top-5 on the test clips in bench/records.json, for the picture that the
benchmark draws. A record of the same trunk, width and size is replaced.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.prepare import export_of, held_out, trained_on
from voxedge.audio.load import load_audio
from voxedge.cli.console import complain, say
from voxedge.errors import VoxedgeError
from voxedge.files import write_json
from voxedge.inference.identifier import Identifier
from voxedge.metrics import bootstrap, top_k_hits
from voxedge.nn.trunks import TRUNKS
from voxedge.train.run import Run

RECORDS = Path(__file__).parent / "records.json"
PRECISIONS = ("fp32", "fp16", "int8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, export, measure, keep; the exit code of docs/design.md."""
    parser = argparse.ArgumentParser(prog="python -m bench.record", description=__doc__)
    parser.add_argument("sizes", type=int, nargs="+", help="pixels of a side of the image")
    parser.add_argument("--trunk", choices=tuple(TRUNKS), default="resnet18")
    parser.add_argument("--width", type=float, default=1.0, help="share of its channels")
    parser.add_argument("--quick", action="store_true", help="few speakers: to see that it works")
    parser.add_argument("--to", type=Path, default=RECORDS, help="the file of records")
    options = parser.parse_args(arguments)
    for size in options.sizes:
        changes = {
            "frontend.image_size": size,
            "model.trunk": options.trunk,
            "model.width": options.width,
        }
        try:
            run, corpus = trained_on(options.quick, changes)
            found = by_precision(run)
        except VoxedgeError as error:
            complain(error)
            return error.exit_code
        record = describe(run, corpus) | {"precisions": found}
        keep(options.to, record)
        shown = ", ".join(f"{p} {100 * f['top1']['value']:.1f} %" for p, f in found.items())
        say(f"{label(record)}, {size} pixels: top-1 {shown}")
    return 0


def read(file: Path = RECORDS) -> list[dict[str, Any]]:
    """All records."""
    records: list[dict[str, Any]] = json.loads(file.read_text()) if file.is_file() else []
    return records


def keep(file: Path, record: dict[str, Any]) -> None:
    """Put a record in the file, in place of one of the same subject."""
    kept = [old for old in read(file) if subject(old) != subject(record)]
    write_json(file, sorted([*kept, record], key=subject))


def subject(entry: Mapping[str, Any]) -> tuple[str, float, int]:
    """What a record, or a figure of the suite ``sizes``, is of: trunk, width, image size."""
    return entry["trunk"], entry.get("width", 1.0), entry["image_size"]


def label(entry: Mapping[str, Any]) -> str:
    """The network of a record or figure, for people."""
    trunk, width, _ = subject(entry)
    return trunk if width == 1 else f"{trunk} x {width:g}"


def describe(run: Run, corpus: str) -> dict[str, Any]:
    """What was trained."""
    recipe, metrics = run.recipe(), run.metrics()
    return {
        "trunk": recipe.model.trunk,
        "width": recipe.model.width,
        "image_size": recipe.frontend.image_size,
        "corpus": corpus,
        "speakers": len(run.labels()),
        "epochs": metrics["epochs"],
        "train_seconds": round(metrics["seconds"], 1),
    }


def by_precision(run: Run) -> dict[str, Any]:
    """What the run's file reaches in each precision that the exporter does not refuse."""
    found: dict[str, Any] = {}
    for precision in PRECISIONS:
        try:
            model = export_of(run, f"record-{precision}", precision)
        except VoxedgeError as error:
            say(f"going on without {precision}: {error}")
        else:
            found[precision] = accuracy(run, model)
    return found


def accuracy(run: Run, model: Path) -> dict[str, Any]:
    """Top-1 and top-5 of a file on the run's test clips, all windows of each, with intervals."""
    identifier, clips = Identifier(model, device="cpu"), held_out(run)
    classes = {label: index for index, label in enumerate(identifier.labels)}
    truth = np.array([classes[clip.speaker] for clip in clips])
    sounds = ((None, load_audio(clip.path, identifier.sample_rate)) for clip in clips)
    rows = np.stack([scores.probabilities for scores in identifier.score(sounds)])
    found: dict[str, Any] = {
        f"top{k}": bootstrap(top_k_hits(rows, truth, k), truth)._asdict() for k in (1, 5)
    }
    return found | {"clips": len(clips), "file_bytes": model.stat().st_size}


if __name__ == "__main__":
    sys.exit(main())
