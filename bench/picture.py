"""The picture of latency against accuracy: what a user chooses for a device by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from bench.record import label, subject

_STYLES = {"fp32": "-", "fp16": ":", "int8": "--"}


def draw(entry: Mapping[str, Any], records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Latency over image size, and top-1 over latency where there is a record of it.

    Args:
        entry: of the suite ``sizes``.
        records: of bench/records.json.
        path: the SVG to write; equal figures give equal bytes.
    """
    known = {subject(record): record["precisions"] for record in records}
    curves: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for figure in sorted(entry["figures"].values(), key=subject):
        curves.setdefault((label(figure), figure["precision"]), []).append(figure)
    colours = {network: f"C{n}" for n, network in enumerate(dict.fromkeys(n for n, _ in curves))}
    with pyplot.rc_context({"svg.hashsalt": "voxedge", "svg.fonttype": "none"}):
        panes, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
        for (network, precision), points in curves.items():
            look = {"color": colours[network], "linestyle": _STYLES[precision], "marker": "o"}
            look["label"] = f"{network}, {precision}"
            times = [1e3 * point["median"] for point in points]
            left.plot([p["image_size"] for p in points], times, **look)
            reached = [
                (time, found["top1"], point["image_size"])
                for time, point in zip(times, points, strict=True)
                if (found := known.get(subject(point), {}).get(precision))
            ]
            if reached:
                values = [100 * top1["value"] for _, top1, _ in reached]
                right.plot([time for time, _, _ in reached], values, **look)
                for (time, _, size), value in zip(reached, values, strict=True):
                    right.annotate(f"{size}", (time, value), (3, 3), textcoords="offset points")
        left.set(xlabel="pixels of a side", ylabel="ms a window", yscale="log")
        right.set(xlabel="ms a window", ylabel="top-1, % of unheard clips", xscale="log")
        if not right.lines:
            right.text(0.5, 0.5, "no records yet", ha="center", transform=right.transAxes)
        entries = left.get_legend_handles_labels()
        panes.legend(*entries, loc="outside right center", fontsize="small")
        panes.savefig(path, format="svg", metadata={"Date": None})
        pyplot.close(panes)
