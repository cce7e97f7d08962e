"""``voxedge doctor``: what this machine has for a model file, and one piece of advice."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from voxedge.cli import console, options
from voxedge.inference.doctor import INSTRUCTIONS, Facts, examine
from voxedge.inference.identifier import default_model
from voxedge.text import printable

app = options.command_app()


@app.command()
def doctor(
    model: options.ModelFile = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="To measure for.")] = 5.0,
    as_json: options.Json = False,
) -> None:
    """Show processor, runtime, providers and latency of this machine, and one piece of advice."""
    chosen = model or default_model()
    facts = examine(chosen if model or os.path.exists(chosen) else None, seconds)  # noqa: PTH110
    if as_json:
        console.answer(json.dumps(facts))
    else:
        _show(facts)


def _show(facts: Facts) -> None:
    """A line for each fact, and the advice."""
    runtime, latency = facts["runtime"], facts["latency"]
    rows = [
        ("system", facts["system"]),
        ("processor", f"{facts['processor']}, {facts['processors']} to be used"),
        *(("", INSTRUCTIONS[name]) for name in facts["instructions"]),
        ("runtime", f"ONNX Runtime {runtime['version']}" if "version" in runtime else "none"),
        *(("provider", f"{name}: {state}") for name, state in facts["providers"].items()),
        *(("variable", f"{name}={value}") for name, value in facts["variables"].items()),
    ]
    if latency and "error" not in latency:
        times = ", ".join(
            f"{value} ms with {count} thread{'s' * (count != 1)}"
            for count, value in latency["milliseconds"].items()
        )
        window = f"{latency['window_seconds']:g} s window"
        rows.append(
            ("latency", f"{times} ({latency['precision']}, {window}, {latency['runs']} runs)")
        )
    for name, value in rows:
        console.answer(f"  {name:<10} {printable(value, 300)}")
    console.answer(f"advice: {printable(facts['advice'], 300)}")
