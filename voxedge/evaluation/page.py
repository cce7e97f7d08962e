"""An evaluation as one HTML page, from the template ``page.html`` next to this module.

The diagrams are drawn by the template: a plotting library would make images that do not follow the
reader's light or dark theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from pathlib import Path
from statistics import NormalDist

from voxedge.evaluation.answers import ClipProblem, Subject
from voxedge.evaluation.measures import Measures
from voxedge.evaluation.open_set import Point
from voxedge.install import needs_extra
from voxedge.metrics import IntervalDict
from voxedge.text import printable

PAGE = "evaluation.html"

_LEAST, _MOST = 1e-3, 0.9  # rates at the ends of the axes of a DET plot


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
        "place_of": lambda rate, axis: _PLACES[axis](rate),
        "oscr_line": _oscr_line,
        "det_line": _det_line,
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


def _log_place(rate: float) -> float:
    """Where a rate lies between 0.1 %, at 0, and 100 %, at 1, on a logarithmic axis."""
    return 1 - log10(max(_LEAST, rate)) / log10(_LEAST)


def _probit_place(rate: float) -> float:
    """Where a rate lies between 0.1 and 90 % on an axis of normal deviates, as DET plots have."""
    low, place, high = map(NormalDist().inv_cdf, (_LEAST, min(_MOST, max(_LEAST, rate)), _MOST))
    return (place - low) / (high - low)


def _oscr_line(curve: Sequence[Point], side: float) -> str:
    """The points of a line in SVG: DIR over the logarithm of FAR."""
    return _line([(_log_place(point["far"]), point["dir"]) for point in curve], side)


def _det_line(curve: Sequence[Point], side: float) -> str:
    """FRR over FAR, both as normal deviates."""
    places = [(_probit_place(point["far"]), _probit_place(point["frr"])) for point in curve]
    return _line(places, side)


def _line(places: Sequence[tuple[float, float]], side: float) -> str:
    return " ".join(f"{side * x:.1f},{side * (1 - y):.1f}" for x, y in places)


_PLACES = {"log": _log_place, "probit": _probit_place}
