"""Pictures of a run. matplotlib is loaded when something is drawn, and without a display."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from voxedge.files import atomic_write


def draw_curves(history: Sequence[dict[str, float]], title: str, path: Path) -> None:
    """Loss, accuracy, and (with a center loss) the intra and inter distances over the epochs.

    Args:
        history: one row an epoch, as in history.csv.
        title: above it all.
        path: the PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [
        ("loss", {"train_loss": "training", "val_loss": "validation"}),
        ("accuracy", {"train_top1": "training top-1", "val_top1": "top-1", "val_top5": "top-5"}),
    ]
    if any("intra" in row for row in history):
        distances = {"intra": "to the own center", "inter": "to the other centers"}
        panels.append(("mean squared distance", distances))
    figure = Figure(figsize=(4.5 * len(panels), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    epochs = [row["epoch"] for row in history]
    for place, (name, lines) in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), place)
        for key, label in lines.items():
            axes.plot(epochs, [row[key] for row in history], label=label, marker=".")
        axes.set(title=name, xlabel="epoch")
        if name == "accuracy":
            axes.set_ylim(0, 1.02)
        elif min(row[key] for row in history for key in lines) > 0:
            axes.set_yscale("log")
        axes.grid(alpha=0.3)
        axes.legend()
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110, metadata={"Software": None})
    with atomic_write(path) as file:
        file.write(drawn.getvalue())
