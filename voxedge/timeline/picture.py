"""A timeline as a picture: a row for each speaker. Matplotlib is loaded where it is used."""

from __future__ import annotations

import io
from pathlib import Path

from voxedge.errors import MissingExtra
from voxedge.files import atomic_write
from voxedge.text import printable
from voxedge.timeline.record import Timeline

_NAME = 24  # characters of a name
_WIDTH, _ROW, _FRAME = 9.0, 0.32, 0.9  # inches
_MINUTES = 180.0  # seconds, from which on the axis counts minutes


def require_matplotlib() -> None:
    """Say that Matplotlib is missing before hours are spent on a recording.

    Raises:
        MissingExtra: it is.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra("a picture needs Matplotlib", "pip install matplotlib") from error


def draw(timeline: Timeline, path: Path) -> None:
    """Draw a timeline as a PNG.

    Raises:
        MissingExtra: Matplotlib is not installed.
        OSError: the file cannot be written.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # needs no display
    from matplotlib.figure import Figure

    names = [speaker.speaker for speaker in timeline.speakers]
    unit, seconds = ("min", 60.0) if timeline.seconds >= _MINUTES else ("s", 1.0)
    figure = Figure(figsize=(_WIDTH, _FRAME + _ROW * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for row, name in enumerate(names):
        spans = [
            (each.start / seconds, (each.end - each.start) / seconds)
            for each in timeline.segments
            if each.speaker == name
        ]
        axes.broken_barh(spans, (row - 0.38, 0.76), color=f"C{row % 10}")
    labels = [printable(name, _NAME).replace("$", r"\$") for name in names]
    axes.set_yticks(range(len(names)), labels)
    axes.set(xlim=(0, timeline.seconds / seconds), ylim=(len(names) - 0.5, -0.5), xlabel=unit)
    axes.grid(axis="x", alpha=0.3)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=90, metadata={"Software": None})
    with atomic_write(path) as file:
        file.write(png.getvalue())
