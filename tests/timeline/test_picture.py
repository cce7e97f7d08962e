"""The picture of a timeline."""

from __future__ import annotations

import sys

import pytest

from tests.timeline.test_timeline import TURNS, talk, timeline
from voxedge.errors import MissingExtra
from voxedge.timeline.picture import draw


def test_a_picture_has_a_row_of_pixels_for_each_speaker(identifier, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib import colors, image

    path = tmp_path / "talk.png"
    draw(timeline(identifier, talk(*TURNS)), path)
    pixels = image.imread(path)[:, :, :3]
    areas = [
        int((abs(pixels - colors.to_rgb(f"C{row}")) < 0.02).all(axis=2).sum()) for row in range(3)
    ]
    assert areas[0] / areas[1] == pytest.approx(11 / 6, rel=0.1)
    assert areas[2] / areas[1] == pytest.approx(1, rel=0.1)


def test_without_matplotlib_the_error_names_it(identifier, tmp_path, monkeypatch):
    found = timeline(identifier, talk(("ada", 3.0)))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match="pip install matplotlib"):
        draw(found, tmp_path / "talk.png")
    assert not list(tmp_path.iterdir())
