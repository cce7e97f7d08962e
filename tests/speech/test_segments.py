from __future__ import annotations

import numpy as np
import pytest

from voxedge.speech.detector import FRAME_SECONDS
from voxedge.speech.segments import Segment, speech_segments


def frames(*runs: tuple[float, int]) -> np.ndarray:
    """Probabilities: of each run a value and how many frames."""
    return np.concatenate([np.full(count, value, np.float32) for value, count in runs])


def found(probabilities: np.ndarray, **options: float) -> list[tuple[float, float]]:
    """The segments, in frames."""
    segments = speech_segments(probabilities, **{"padding": 0, **options})
    return [(each.start / FRAME_SECONDS, each.end / FRAME_SECONDS) for each in segments]


def test_speech_begins_and_ends_with_its_frames():
    assert found(frames((0, 10), (0.9, 20), (0, 10))) == [(10, 30)]
    assert found(frames((0.9, 20), (0, 10), (0.9, 20))) == [(0, 20), (30, 50)]
    assert found(frames((0.1, 50))) == found(np.zeros(0, np.float32)) == []


def test_a_segment_holds_seconds():
    (only,) = speech_segments(frames((0, 10), (1, 100), (0, 10)))
    assert only == Segment(pytest.approx(0.32 - 0.03), pytest.approx(3.52 + 0.03))


@pytest.mark.parametrize(("count", "kept"), [(7, False), (8, True)])
def test_short_speech_is_left_out(count, kept):
    """7 frames are 224 ms, 8 are 256; segments must be longer than 250."""
    assert bool(found(frames((0, 10), (0.9, count), (0, 10)))) == kept
    assert bool(found(frames((0, 10), (0.9, count)))) == kept
    assert found(frames((0, 10), (0.9, 3), (0, 10)), min_speech=0.05) == [(10, 13)]


@pytest.mark.parametrize(("count", "parts"), [(4, 1), (5, 2)])
def test_short_pauses_do_not_part_speech(count, parts):
    """The pause has lasted when a frame begins 100 ms after its first one, or later."""
    assert len(found(frames((0.9, 20), (0.1, count), (0.9, 20)))) == parts
    assert len(found(frames((0.9, 20), (0.1, 8), (0.9, 20)), min_pause=0.3)) == 1


@pytest.mark.parametrize(("between", "parts"), [(0.36, 1), (0.34, 2)])
def test_speech_ends_below_a_second_threshold(between, parts):
    assert len(found(frames((0.9, 20), (between, 20), (0.9, 20)))) == parts
    assert len(found(frames((0.9, 20), (between - 0.2, 20), (0.9, 20)), threshold=0.3)) == parts


def test_frames_between_the_thresholds_begin_no_speech():
    assert found(frames((0.49, 50))) == []
    assert found(frames((0.49, 10), (0.5, 1), (0.4, 20), (0, 10))) == [(10, 31)]


def test_a_pause_begins_with_its_first_frame_even_if_it_is_interrupted_below_the_threshold():
    assert found(frames((0.9, 20), (0.1, 2), (0.4, 3), (0.1, 9))) == [(0, 20)]


def test_padding_stays_within_the_clip_and_is_shared_in_short_pauses():
    padded = found(frames((0.9, 20), (0, 5), (0.9, 20)), padding=1.0)
    assert padded == [(0, 22.5), (22.5, 45)]
    padded = found(frames((0.9, 20), (0, 50), (0.9, 20)), padding=2 * FRAME_SECONDS)
    assert padded == [(0, pytest.approx(22)), (pytest.approx(68), 90)]
