"""The curves of a run: a picture, and events for TensorBoard.

matplotlib and TensorBoard are slow to import, so they are only loaded where they are used.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from voxedge.files import atomic_write

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def draw_curves(history: Sequence[dict[str, float]], title: str, path: Path) -> None:
    """Draw loss, accuracy and, with a center loss, distances to centers over the epochs.

    Args:
        history: a row for each epoch, as in history.csv.
        title: of the picture.
        path: the PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # needs no display
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
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110, metadata={"Software": None})
    with atomic_write(path) as file:
        file.write(png.getvalue())


@contextmanager
def event_writer(folder: Path, epochs: int) -> Iterator[SummaryWriter]:
    """Open a TensorBoard writer.

    Args:
        folder: of the run.
        epochs: done so far; events of later ones, from before a resume, are purged.
    """
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder), purge_step=epochs + 1)
    try:
        yield writer
    finally:
        writer.close()
