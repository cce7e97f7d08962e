"""An evaluation as one HTML page, from the template ``page.html`` next to this module.

The diagrams are drawn by the template: a plotting library would make images that do not follow the
reader's light or dark theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voxedge.evaluation.answers import ClipProblem, Subject
from voxedge.evaluation.measures import Measures
from voxedge.install import needs_extra
from voxedge.metrics import IntervalDict
from voxedge.text import printable

PAGE = "evaluation.html"


def render(subject: Subject, measures: Measures, problems: Sequence[ClipProblem] = ()) -> str:
    """Render the page of an evaluation.

    Args:
        subject: what was measured, on which clips.
        measures: the metrics.
        problems: clips that could not be used.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    with needs_extra("train"):
        import jinja2

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "printable": lambda value: printable(str(value)),
        "percent": _percent,
        "bounds": _bounds,
        "css": _css,
    }
    page = templates.get_template("page.html")
    return page.render(subject=subject, measures=measures, problems=problems).lstrip() + "\n"


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _bounds(interval: IntervalDict) -> str:
    return f"[{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"


def _css(rate: float) -> str:
    """Format a fraction as a length in CSS."""
    return f"{100 * rate:.2f}%"
