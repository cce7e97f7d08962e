"""Which clips can be enrolled, and which one is the odd one."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import RATE
from tests.gallery.conftest import tone
from voxedge.gallery.enrolment import examine, odd_clips
from voxedge.speech.clip import Speech
from voxedge.speech.segments import Segment


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (tone(300), None),
        (np.zeros(2 * RATE, np.float32), "no_speech"),
        (np.full(2 * RATE, 0.3, np.float32), "no_speech"),  # a constant
        (tone(300, seconds=0.6), "too_short"),
        (tone(300, level=1e-3), "too_quiet"),
        (tone(300, level=2e-2), None),
        (np.clip(tone(300, level=4), -1, 1), "clipped"),
        (np.clip(tone(300, level=1.02), -1, 1), None),  # here and there
        (np.r_[tone(300, seconds=0.6), np.zeros(5 * RATE, np.float32)], "too_short"),
    ],
)
def test_each_clip_has_its_reason(samples, reason):
    report = examine("a.wav", samples.astype(np.float32), RATE, None)
    assert report.reason == reason, report
    assert bool(report.message) == bool(reason)
    assert report.seconds == len(samples) / RATE


def test_speech_that_was_looked_for_decides():
    spoken = Speech((Segment(0.2, 0.7), Segment(1.0, 1.5)))
    report = examine("a.wav", tone(300), RATE, spoken)
    assert (report.reason, report.speech) == (None, pytest.approx(1.0))
    report = examine("a.wav", tone(300), RATE, Speech((Segment(0.2, 0.7),)))
    assert (report.reason, report.speech) == ("too_short", pytest.approx(0.5))
    assert report.to_dict()["speech_seconds"] == 0.5
    report = examine("a.wav", tone(300), RATE, Speech(()))
    assert (report.reason, report.message) == ("no_speech", "silence, noise or music")


def at(*degrees: float) -> np.ndarray:
    """Directions in a plane, [C, 2]."""
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("degrees", "odd"),
    [
        ((0, 10, 20), []),
        ((0, 10, 90), [2]),
        ((90, 10, 0), [0]),
        ((0, 59), []),  # the cosine of 60 degrees is 0.5
        ((0, 61), [0, 1]),  # none of two is the odd one
        ((0, 5, 120, 200, 10), [3, 2]),
        ((0,), []),
        ((30, 30, 30), []),
        ((0, 1, 2, 100, 101, 102), [0, 3, 1, 4, 2, 5]),  # two voices, three clips each
        ((0, 1, 2, 3, 100, 101, 102), [6, 5, 4]),
    ],
)
def test_the_odd_clips(degrees, odd):
    assert odd_clips(at(*degrees), 0.5) == odd
