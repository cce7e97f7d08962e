from __future__ import annotations

import numpy as np
import pytest

from voxedge.audio.windows import LOW_ENERGY_RMS, batches, cut_windows, is_low_energy, window_starts


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
