"""Segments out of windows and clusters."""

from __future__ import annotations

import numpy as np
import pytest

from voxedge.timeline.segments import spoken_segments
from voxedge.timeline.windows import Window


def windows(*segments: tuple[float, float]) -> list[Window]:
    """Windows of 1.5 s with a step of 0.75 s over stretches of speech."""
    found = []
    for number, (start, end) in enumerate(segments):
        last = max(start, end - 1.5)
        starts = [*np.arange(start, last - 1e-9, 0.75), last]
        found += [Window(float(s), min(float(s) + 1.5, end), number) for s in starts]
    return found


def test_a_change_is_found_between_two_windows():
    parts = windows((0.0, 9.0))
    cosines = np.array([[0.8, 0.1] if w.end < 4.6 else [0.1, 0.8] for w in parts], np.float32)
    first, second = spoken_segments(parts, cosines)
    assert (first.start, first.speaker, second.end, second.speaker) == (0.0, 0, 9.0, 1)
    assert first.end == second.start == pytest.approx(4.125, abs=0.1)  # half-way from 3.75 to 4.5


def test_one_doubtful_window_is_no_change():
    parts = windows((0.0, 9.0))
    cosines = np.tile(np.float32([0.8, 0.1]), (len(parts), 1))
    cosines[5] = 0.4, 0.45
    (only,) = spoken_segments(parts, cosines)
    assert only == (0.0, 9.0, 0)


def test_pauses_stay_and_nothing_overlaps():
    parts = windows((1.0, 3.0), (3.5, 4.0), (6.0, 9.0))
    cosines = np.tile(np.float32([0.8]), (len(parts), 1))
    found = spoken_segments(parts, cosines)
    assert [(s.start, s.end) for s in found] == [(1.0, 3.0), (3.5, 4.0), (6.0, 9.0)]


def test_stretches_that_touch_are_joined_where_nobody_else_begins():
    parts = windows((1.0, 3.0), (3.0, 5.0))
    same = np.tile(np.float32([0.8, 0.1]), (len(parts), 1))
    assert spoken_segments(parts, same) == [(1.0, 5.0, 0)]
    other = same.copy()
    other[[w.segment == 1 for w in parts]] = 0.1, 0.8
    assert [s.speaker for s in spoken_segments(parts, other)] == [0, 1]
