from __future__ import annotations

import numpy as np
import pytest
import torch

from voxedge.nn.power_spectrum import PowerSpectrum


@pytest.mark.parametrize(
    ("n_fft", "win_length", "hop_length"),
    [(512, 400, 160), (512, 512, 128), (256, 201, 77), (512, 399, 160), (64, 2, 16)],
    ids=["default", "whole frame", "odd, prime hop", "odd", "two samples"],
)
def test_power_is_the_ffts(n_fft, win_length, hop_length):
    samples = 3_000
    x = np.random.default_rng(0).normal(size=(2, samples))
    bins = torch.arange(3, n_fft // 2)
    power = PowerSpectrum(samples, n_fft, win_length, hop_length, bins)
    left = (n_fft - win_length) // 2
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win_length) / win_length)
    hann = np.pad(hann, (left, n_fft - win_length - left))
    frames = np.lib.stride_tricks.sliding_window_view(x, n_fft, axis=1)[:, ::hop_length]
    expected = np.abs(np.fft.rfft(frames * hann))[..., bins] ** 2
    actual = power(torch.from_numpy(x).float()).numpy()
    np.testing.assert_allclose(actual, expected, atol=3e-6 * expected.max())


def test_silence_has_no_power():
    assert not PowerSpectrum(1_000, 256, 200, 80, torch.arange(129))(torch.zeros(1, 1_000)).any()
