from __future__ import annotations

import numpy as np
import pytest
import torch

from voxedge.nn.window import Window


@pytest.mark.parametrize("length", [1, 7, 15_999, 47_999, 48_000, 48_001, 90_000])
def test_window_repeats_short_clips_and_cuts_long_ones(length):
    samples = torch.arange(1, length + 1, dtype=torch.float32)
    window = Window(48_000, "repeat")(samples[None], torch.tensor([length]))[0]
    expected = np.resize(samples.numpy(), 48_000)  # np.resize repeats
    np.testing.assert_array_equal(window.numpy(), expected)


@pytest.mark.parametrize("window", [48_000, 64_000, (1 << 21) - 1, 1 << 21])
def test_clips_are_repeated_at_whole_lengths(window):
    """The length's inverse is rounded: no neighbour of the right sample may be taken."""
    for length in (3, 41, 399, 4001, window // 3, window - 1, window, window + 1):
        whole = torch.arange(0, window, length)[:, None] + torch.tensor([-1, 0, 1])
        positions = whole.flatten().clamp(0, window - 1)
        clip, valid = torch.arange(length)[None], torch.tensor([length])
        found = Window(window, "repeat").samples_at(positions.int(), clip, valid)[0]
        assert torch.equal(found, positions % length)


def test_window_can_pad_with_zeros():
    window = Window(10, "zero")(torch.ones(1, 4), torch.tensor([4]))[0]
    assert window.tolist() == [1] * 4 + [0] * 6


def test_samples_beyond_the_valid_length_are_ignored():
    samples = torch.tensor([[1.0, 2, 3, 77, 77], [4, 5, 6, 7, 8]])
    window = Window(6, "repeat")(samples, torch.tensor([3, 5]))
    assert window.tolist() == [[1, 2, 3, 1, 2, 3], [4, 5, 6, 7, 8, 4]]


def test_one_length_serves_the_whole_batch():
    samples = torch.arange(10.0).reshape(2, 5)
    shared = Window(6, "repeat")(samples, torch.tensor([2**63 - 1]))
    torch.testing.assert_close(shared, Window(6, "repeat")(samples, torch.tensor([5, 5])))


def test_the_filled_fraction_is_at_most_one():
    pcm, lengths = torch.zeros(4, 8), torch.tensor([0, 3, 6, 2**62])
    assert Window(6, "repeat").filled_fraction(pcm, lengths).tolist() == pytest.approx(
        [1 / 6, 0.5, 1, 1]
    )
