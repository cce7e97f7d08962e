from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import RATE, voice
from voxedge.audio.activity import LOW_ENERGY_RMS
from voxedge.audio.windows import (
    active_windows,
    batches,
    cut_windows,
    is_low_energy,
    window_starts,
)

WINDOW = 3 * RATE


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (1, [0]),
        (99, [0]),
        (100, [0]),
        (101, [0, 1]),
        (150, [0, 50]),
        (151, [0, 50, 51]),
        (260, [0, 50, 100, 150, 160]),
    ],
)
def test_windows_overlap_by_half_and_end_with_the_clip(samples, expected):
    assert window_starts(samples, 100) == expected


def test_first_takes_one_window():
    assert window_starts(1000, 100, "first") == [0]


def test_windows_cover_every_sample():
    samples = np.arange(777, dtype=np.float32)
    parts = cut_windows(samples, 100)
    assert all(len(part) == 100 for part in parts)
    np.testing.assert_array_equal(np.unique(np.concatenate(parts)), samples)


def places(samples: np.ndarray, policy="all") -> list[tuple[float, float]]:
    """Start and end of each active window of a clip, in seconds."""
    windows = active_windows(samples, WINDOW, RATE, policy)
    assert all(np.shares_memory(part, samples) for part in windows)
    begin = samples.__array_interface__["data"][0]
    starts = [(part.__array_interface__["data"][0] - begin) // 4 for part in windows]
    return [
        (start / RATE, (start + len(part)) / RATE)
        for start, part in zip(starts, windows, strict=True)
    ]


def hiss(level: float, seconds: float) -> np.ndarray:
    draw = np.random.default_rng(0).standard_normal(round(seconds * RATE))
    return (10 ** (level / 20) * draw).astype(np.float32)


def room(level: float, seconds: float) -> np.ndarray:
    """Noise whose level varies by 10 dB from moment to moment."""
    sound = hiss(level, seconds)
    levels = np.random.default_rng(1).uniform(-5, 5, len(sound) // 800 + 1)
    return sound * np.repeat(10 ** (levels / 20), 800)[: len(sound)].astype(np.float32)


PAUSES = {
    "digital silence": hiss(-200, 40),
    "hiss at -75 dBFS": hiss(-75, 40),
    "hiss at -50 dBFS": hiss(-50, 40),
    "a room at -60 dBFS": room(-60, 40),
    "hum": (0.001 * np.sin(100 * np.pi * np.arange(40 * RATE) / RATE)).astype(np.float32),
    "a constant": np.full(40 * RATE, 0.1, np.float32),
}


@pytest.mark.parametrize("seconds", [0.3, 1, 3])
def test_a_clip_of_one_window_is_used_as_it_is(seconds):
    clip = hiss(-75, seconds)
    clip[-1_000:] += voice(110, 1, 1)[:1_000]
    (only,) = active_windows(clip, WINDOW, RATE)
    assert only is clip


@pytest.mark.parametrize("seconds", [3.1, 4.5, 7, 20])
def test_all_windows_of_a_clip_without_long_pauses_count(seconds):
    clip = voice(150, seconds, 1)
    for second in range(0, int(seconds), 2):
        clip[second * RATE : round((second + 0.8) * RATE)] *= 0.001  # pauses for breath
    expected = cut_windows(clip, WINDOW)
    assert [part.tobytes() for part in active_windows(clip, WINDOW, RATE)] == [
        part.tobytes() for part in expected
    ]


@pytest.mark.parametrize("pause", PAUSES)
@pytest.mark.parametrize(("start", "seconds"), [(0, 5), (2.3, 3), (17.77, 3.5), (33, 7)])
def test_pauses_around_speech_do_not_count(pause, start, seconds):
    clip = PAUSES[pause].copy()
    first, last = round(start * RATE), round((start + seconds) * RATE)
    clip[first:last] += voice(110, seconds, 1)
    found = places(clip)
    assert found[0][0] <= start + 0.3
    assert found[-1][1] >= start + seconds - 0.3
    for begin, end in found:
        assert min(end, start + seconds) - max(begin, start) > 1.45


@pytest.mark.parametrize("pause", PAUSES)
def test_a_word_in_a_long_pause_makes_a_short_window(pause):
    clip = PAUSES[pause].copy()
    clip[20 * RATE : 21 * RATE] += voice(110, 1, 1)
    ((begin, end),) = places(clip)
    assert begin == pytest.approx(19.5, abs=0.2)
    assert end == pytest.approx(21.5, abs=0.2)


@pytest.mark.parametrize("pause", PAUSES)
def test_pauses_between_sentences_do_not_count(pause):
    clip = PAUSES[pause].copy()
    for start in (1, 13, 30):
        clip[start * RATE : (start + 3) * RATE] += voice(110, 3, start)
    found = places(clip)
    spoken = [
        sum(max(0, min(end, s + 3) - max(begin, s)) for s in (1, 13, 30)) for begin, end in found
    ]
    assert min(spoken) > 1.4
    assert all(any(begin < s + 1.6 < end for begin, end in found) for s in (1, 13, 30))


@pytest.mark.parametrize("softer", [10, 20])
@pytest.mark.parametrize("background", [-200, -80, -70])
def test_a_voice_that_becomes_softer_still_counts(softer, background):
    clip = voice(110, 12, 1)
    for second in range(12):
        clip[second * RATE : round((second + 0.3) * RATE)] *= 0.001  # pauses between words
    clip[6 * RATE :] *= 10 ** (-softer / 20)
    clip += hiss(background, 12)
    assert len(places(clip)) == len(cut_windows(clip, WINDOW))


def in_noise(seconds: float, start: float, spoken: float) -> np.ndarray:
    """Speech in a gap of noise that is as loud."""
    clip = hiss(-20, seconds)
    clip[round(start * RATE) : round((start + spoken) * RATE)] = voice(110, spoken, 1)
    return clip


@pytest.mark.parametrize(("seconds", "start", "spoken"), [(40, 21, 3), (40, 5, 0.8), (9, 6, 1.5)])
def test_where_most_is_no_speech_only_the_speech_counts(seconds, start, spoken):
    clip = in_noise(seconds, start, spoken)
    for part in active_windows(clip, WINDOW, RATE, speech=[(start, start + spoken)]):
        first = (part.__array_interface__["data"][0] - clip.__array_interface__["data"][0]) // 4
        assert start - 0.6 <= first / RATE
        assert (first + len(part)) / RATE <= start + spoken + 0.6


def test_a_short_clip_that_is_mostly_no_speech_is_cut_to_it():
    clip = in_noise(3, 2.2, 0.5)
    (part,) = active_windows(clip, WINDOW, RATE, speech=[(2.2, 2.7)])
    assert len(part) == pytest.approx(1.3 * RATE, abs=RATE / 25)  # with half a second before it


@pytest.mark.parametrize("seconds", [3, 12])
def test_where_enough_is_speech_the_windows_are_the_same(seconds):
    clip = in_noise(seconds, 0.2 * seconds, 0.6 * seconds)
    speech = [(0.2 * seconds, 0.8 * seconds)]
    parts = active_windows(clip, WINDOW, RATE, speech=speech)
    assert [part.tobytes() for part in parts] == [
        part.tobytes() for part in active_windows(clip, WINDOW, RATE)
    ]


def test_noise_alone_counts_as_a_whole():
    assert places(hiss(-40, 10)) == places(room(-40, 10)) == [
        (start / RATE, start / RATE + 3) for start in window_starts(10 * RATE, WINDOW)
    ]  # fmt: skip


def test_the_first_window_is_the_first_that_counts():
    clip = hiss(-75, 30)
    clip[20 * RATE : 25 * RATE] += voice(110, 5, 1)
    assert places(clip, "first") == places(clip)[:1]
    assert places(clip, "first")[0][0] == pytest.approx(19.5, abs=0.2)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(WINDOW), np.full(5 * WINDOW, 0.3)])
def test_silence_has_no_window(samples):
    assert active_windows(samples.astype(np.float32), WINDOW, RATE) == []


def test_samples_that_are_no_numbers_keep_their_windows():
    clip = np.full(2 * WINDOW, np.nan, np.float32)
    assert len(active_windows(clip, WINDOW, RATE)) == 3


def test_batches_keep_order_keys_and_lengths():
    windows = [(name, np.full(size, value, np.float32)) for name, size, value in
               [("a", 4, 1), ("a", 4, 2), ("b", 2, 3), ("c", 4, 4), ("c", 1, 5)]]  # fmt: skip
    found = list(batches(windows, 2, 4))
    assert [batch.keys for batch in found] == [("a", "a"), ("b", "c"), ("c",)]
    assert [batch.lengths.tolist() for batch in found] == [[4, 4], [2, 4], [1]]
    assert found[1].pcm.tolist() == [[3, 3, 0, 0], [4, 4, 4, 4]]


@pytest.mark.parametrize(
    ("samples", "low"),
    [
        (np.zeros(1000), True),
        (np.full(1000, 0.7), True),
        (np.full(1000, 1e-40), True),
        (np.random.default_rng(0).normal(0, 3e-5, 1000), True),
        (np.random.default_rng(0).normal(0, 1e-3, 1000), False),
    ],
)
def test_silence_dc_and_denormals_are_low_energy(samples, low):
    assert is_low_energy(samples.astype(np.float32)) == low


def test_the_shortcut_decides_like_all_samples():
    draw = np.random.default_rng(0)
    for number in range(300):
        samples = draw.normal(0, 1e-4 * draw.uniform(0.3, 3), int(draw.integers(1, 9000)))
        samples[draw.integers(0, len(samples))] += (number % 3 == 0) * draw.uniform(0, 0.02)
        samples += (number % 5 == 0) * draw.uniform(-1, 1)
        sound = samples.astype(np.float32)
        assert is_low_energy(sound) == (np.std(sound, dtype=np.float64) < LOW_ENERGY_RMS)
