"""The chart of latency against accuracy, by which a user chooses a network for a device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from bench.record import network_key, network_name
from bench.results import NetworkTiming, Record, Sizes

_STYLES = {"fp32": "-", "fp16": ":", "int8": "--"}


def draw(entry: Sizes, records: Sequence[Record], path: Path) -> None:
    """Draw latency over image size, and top-1 over latency where there is a record of it.

    Args:
        entry: of the suite ``sizes``.
        records: of bench/records.json.
        path: the SVG to write; equal values give equal bytes.
    """
    known = {network_key(record): record["precisions"] for record in records}
    curves: dict[tuple[str, str], list[NetworkTiming]] = {}
    for timing in sorted(entry["figures"].values(), key=network_key):
        curves.setdefault((network_name(timing), timing["precision"]), []).append(timing)
    colours = {network: f"C{n}" for n, network in enumerate(dict.fromkeys(n for n, _ in curves))}
    with pyplot.rc_context({"svg.hashsalt": "voxedge", "svg.fonttype": "none"}):
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
        for (network, precision), points in curves.items():
            look = {"color": colours[network], "linestyle": _STYLES[precision], "marker": "o"}
            look["label"] = f"{network}, {precision}"
            latencies = [1e3 * point["median"] for point in points]
            left.plot([point["image_size"] for point in points], latencies, **look)
            measured = [
                (latency, 100 * accuracy["top1"]["value"], point["image_size"])
                for latency, point in zip(latencies, points, strict=True)
                if (accuracy := known.get(network_key(point), {}).get(precision))
            ]
            if measured:
                right.plot([x for x, _, _ in measured], [y for _, y, _ in measured], **look)
            for x, y, size in measured:
                right.annotate(f"{size}", (x, y), (3, 3), textcoords="offset points")
        left.set(xlabel="pixels of a side", ylabel="ms a window", yscale="log")
        right.set(xlabel="ms a window", ylabel="top-1, % of test clips", xscale="log")
        if not right.lines:
            right.text(0.5, 0.5, "no records yet", ha="center", transform=right.transAxes)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", fontsize="small")
        figure.savefig(path, format="svg", metadata={"Date": None})
        pyplot.close(figure)
