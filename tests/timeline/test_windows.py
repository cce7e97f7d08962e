"""Windows of speech out of a stream."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from tests.conftest import RATE
from tests.timeline.conftest import FRAME, LoudnessDetector, talk
from voxedge.timeline.windows import SECONDS, SpeechWindows

FRAME_SECONDS = FRAME / RATE


def cut(samples: np.ndarray, block: int = 5_000, rate: int = RATE):
    """All windows of samples that come in blocks, and the cutter."""
    cutter = SpeechWindows(rate, LoudnessDetector())
    found = []
    for start in range(0, len(samples), block):
        found += cutter.feed(samples[start : start + block])
    return [*found, *cutter.finish()], cutter


def test_windows_lie_within_speech_and_cover_it():
    windows, cutter = cut(talk(("ada", 4.0), ("ben", 1.0), pause=0.8))
    spans = {
        k: (
            min(w.start for w, _ in windows if w.segment == k),
            max(w.end for w, _ in windows if w.segment == k),
        )
        for k in (0, 1)
    }
    for k, (start, end) in {0: (0.8, 4.8), 1: (5.6, 6.6)}.items():
        assert spans[k] == pytest.approx((start, end), abs=2 * FRAME_SECONDS)
    assert cutter.speech == pytest.approx(5.0, abs=0.2)
    long = [w for w, _ in windows if w.segment == 0]
    assert all(w.end - w.start == pytest.approx(SECONDS) for w in long)
    steps = np.diff([w.start for w in long])
    assert steps[:-1] == pytest.approx(SECONDS / 2)
    assert (np.diff([w.end for w in long]) > 0).all()


def test_the_samples_are_those_of_the_window():
    samples = talk(("ada", 3.0), ("ben", 2.0))
    for window, part in cut(samples)[0]:
        start = round(window.start * RATE)
        assert (samples[start : start + len(part)] == part).all()
        assert window.end - window.start == pytest.approx(len(part) / RATE)


@pytest.mark.parametrize("block", [FRAME - 1, 7_777, 10**9])
def test_the_size_of_the_blocks_changes_nothing(block):
    samples = talk(("ada", 4.0), ("ben", 2.0))
    expected, found = cut(samples)[0], cut(samples, block)[0]
    assert [w for w, _ in found] == [w for w, _ in expected]


def test_a_long_stream_is_cut_where_it_is_quiet():
    turns = [("ada", 5.0), ("ben", 4.0)] * 20
    samples = talk(*turns, pause=1.0)  # 221 s
    windows, cutter = cut(samples, 30_000)
    segments = sorted({w.segment for w, _ in windows})
    assert segments == list(range(40))  # no turn is cut in two
    assert cutter.speech == pytest.approx(180.0, abs=6.0)  # and the padding
    for window, part in windows:
        start = round(window.start * RATE)
        assert (samples[start : start + len(part)] == part).all()


def test_speech_without_a_pause_is_cut_all_the_same():
    windows, _ = cut(talk(("ada", 150.0)), 30_000)
    assert len({w.segment for w, _ in windows}) == 4
    starts, ends = (np.array([getattr(w, side) for w, _ in windows]) for side in ("start", "end"))
    gaps = starts[1:] - ends[:-1]
    assert gaps.max() < 2 * 0.03 + 1e-6  # the padding


def test_memory_does_not_grow():
    part = talk(("ada", 5.0), ("ben", 4.0))

    def peak(times: int) -> int:
        cutter = SpeechWindows(RATE, LoudnessDetector())
        tracemalloc.start()
        for _ in range(times):
            for _ in cutter.feed(part):
                pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(60) < 1.1 * peak(20)


def test_another_rate_than_the_detectors():
    samples = talk(("ada", 3.0)).repeat(2)  # as of 32 kHz
    windows, _ = cut(samples, rate=2 * RATE)
    assert windows[0][0].start == pytest.approx(0.8, abs=0.1)
    assert windows[-1][0].end == pytest.approx(3.8, abs=0.1)
    assert len(windows[0][1]) == 2 * SECONDS * RATE


def test_silence_has_no_windows():
    windows, cutter = cut(np.zeros(RATE * 3, np.float32))
    assert (windows, cutter.speech) == ([], 0.0)
