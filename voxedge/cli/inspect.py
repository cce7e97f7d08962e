"""``voxedge inspect``: what a model file says of itself."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Annotated, Any

import typer

from voxedge.cli import console, options
from voxedge.inference.identifier import default_model
from voxedge.inference.open_set import OpenSet
from voxedge.metrics import Interval
from voxedge.model_file.reader import read_model
from voxedge.text import printable

_NAME = 32  # columns that a speaker's name may take

app = options.command_app()


@app.command()
def inspect(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL", help="The model file.", show_default="$VOXEDGE_MODEL, else model.onnx"
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show what a model file says of itself: names, rates, parity, metrics, origin."""
    read = read_model(model or default_model())
    facts: dict[str, Any] = json.loads(read.metadata.to_json())
    facts |= {"path": str(read.path), "bytes": read.size}
    facts |= {"opset": read.opset, "ir_version": read.ir_version}
    if as_json:
        console.answer(json.dumps(facts))
    else:
        _show(facts)


def _show(facts: dict[str, Any]) -> None:
    """A model file's metadata, as ``voxedge inspect --json`` has it; parts of it may be missing."""
    labels = facts["labels"]
    names = ", ".join(printable(label, _NAME) for label in labels[:8])
    more = f" and {len(labels) - 8} more" if len(labels) > 8 else ""
    dtype = facts["input"].get("dtype", "float32")
    count = facts["input"].get("channels", 1)
    channels = "mono" if count == 1 else f"{count} channels, interleaved"
    rows = [
        ("speakers", f"{len(labels)}: {names}{more}" if labels else "none: embeddings only"),
        ("input", f"pcm {dtype} [batch, samples], {facts['sample_rate']} Hz {channels}"),
        ("window", f"{facts['window_seconds']:g} s, clips from {facts['min_seconds']:g} s"),
        ("embedding", f"{facts['embedding_dim']} values"),
        ("size", f"{facts['bytes'] / 1e6:.1f} MB, {facts['precision']}, opset {facts['opset']}"),
        *([("temperature", f"{facts['temperature']:g}")] if labels else []),
        *_threshold_rows(facts),
        *_gallery_rows(facts),
        *([("source", facts["source"])] if facts["source"] else []),
        ("licence", facts["licence"] or "not stated"),
        ("digest", facts["digest"]),
    ]
    rows += _parity_rows(facts)
    measured = "" if facts["precision"] == "fp32" else " in float32"
    for name in ("top1", "top5"):
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            test = Interval(**facts["metrics"][name])
            rows.append((f"test {name}", test.percent() + measured))
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        origin = facts["training"]
        versions = " ".join(f"{key} {value}" for key, value in origin["versions"].items())
        rows += [
            ("recipe", f"{origin['recipe']['name']}, {origin['epochs']} epochs"),
            ("trained on", f"{origin['clips']} clips, {origin['data_digest'][:16]}"),
            ("made with", versions),
        ]
    console.answer(printable(facts["path"]))
    for name, value in rows:
        console.answer(f"  {name:<12} {printable(value, 600)}")


def _threshold_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """For which shares of strangers there is a threshold, and what it rests on."""
    found = OpenSet.from_metadata(facts["thresholds"])
    if found is None:
        return []
    stated = [f"{100 * share:g} %" for share, value in found.accept.items() if value is not None]
    shares = ", ".join(stated) or "none"
    return [("strangers", f"thresholds for {shares}; {found.clips} clips of {found.basis}")]


def _gallery_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Which model file the people of a gallery were enrolled with."""
    with suppress(KeyError, TypeError):
        return [
            ("gallery", f"people enrolled with the model file {facts['gallery']['model'][:16]}")
        ]
    return []


def _parity_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """What the export measured, of a file of either kind."""
    rows: list[tuple[str, str]] = []
    with suppress(KeyError, TypeError, ValueError, AttributeError):  # written by another program
        parity = facts["parity"]
        rows.append(
            (
                "parity",
                f"logits within {parity['logits']:.1e} of {parity['reference']}, top-1 agrees in"
                f" {parity['top1']:.0%}, {parity['windows']} windows",
            )
        )
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        parity = facts["parity"]
        rows.append(
            (
                "parity",
                f"bands within {parity['bands']:.1e} and cosines from {parity['cosine']:.6f} of"
                f" {parity['reference']}, {parity['clips']} clips ({parity['speech']})",
            )
        )
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        accuracy = facts["parity"]["accuracy"]
        for name in ("top1", "top5"):
            figures = accuracy[name]
            rows.append(
                (
                    f"{facts['precision']} {name}",
                    f"{figures[facts['precision']]:.1%}, float32 {figures['float32']:.1%}, agree in"
                    f" {figures['agreement']:.1%} of {accuracy['clips']} validation clips",
                )
            )
        rows.append(("in float32", ", ".join(accuracy["in_float"]) or "front end and head"))
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        loss = facts["parity"]["accuracy"]
        rows.append(
            (
                facts["precision"],
                f"cosine to float32 {loss['cosine']:.4f}, named right {loss['lowered']:.1%},"
                f" float32 {loss['float32']:.1%}, {loss['clips']} clips of {loss['speakers']}"
                " speakers",
            )
        )
    return rows
