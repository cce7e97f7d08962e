from __future__ import annotations

import numpy as np
import pytest
import torch

from voxedge.nn.power_spectrum import PowerSpectrum


@pytest.mark.parametrize(
    "bins", [slice(None), slice(3, 16), slice(7, 8)], ids=["all", "some", "one"]
)
@pytest.mark.parametrize(
    ("n_fft", "win_length", "hop_length"),
    [
        *[(512, 400, 160), (512, 512, 128), (256, 201, 77), (512, 399, 160), (64, 2, 16)],
        *[(64, 63, 64), (400, 400, 160)],
    ],
    ids=[
        *["default", "whole frame", "odd, prime hop", "odd", "two samples", "all but one sample"],
        "no power of two",
    ],
)
def test_power_is_the_ffts(n_fft, win_length, hop_length, bins):
    bins = torch.arange(n_fft // 2 + 1)[bins]
    samples = 3_000
    x = np.random.default_rng(0).normal(size=(2, samples))
    frames = 1 + (samples - n_fft) // hop_length
    left = (n_fft - win_length) // 2
    window = torch.hann_window(win_length, periodic=True, dtype=torch.float64)
    spectrum = PowerSpectrum(frames, n_fft, window, left, hop_length, bins)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win_length) / win_length)
    hann = np.pad(hann, (left, n_fft - win_length - left))
    frames = np.lib.stride_tricks.sliding_window_view(x, n_fft, axis=1)[:, ::hop_length]
    expected = np.abs(np.fft.rfft(frames * hann))[..., bins.numpy()] ** 2
    power = spectrum(torch.from_numpy(x).float()[:, spectrum.positions])
    actual = power.index_select(1, spectrum.places).transpose(1, 2).numpy()
    np.testing.assert_allclose(actual, expected, atol=3e-6 * expected.max())


def test_silence_has_no_power():
    window = torch.ones(200, dtype=torch.float64)
    spectrum = PowerSpectrum(10, 256, window, 28, 80, torch.arange(129))
    assert not spectrum(torch.zeros(1, len(spectrum.positions))).any()
