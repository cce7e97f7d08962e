from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from voxedge.nn.voices import shift_formants

RATE = 16_000


def vowel(pitch: float = 100.0, formant: float = 1_000.0) -> torch.Tensor:
    """Harmonics under one resonance, 1 s."""
    time = torch.arange(RATE) / RATE
    harmonics = torch.arange(1, int(7_000 / pitch)) * pitch
    level = 1 / (1 + ((harmonics - formant) / 400) ** 2)
    wave = level[:, None] * torch.sin(2 * math.pi * harmonics[:, None] * time)
    return 0.1 * wave.sum(0)


def harmonics(samples: torch.Tensor) -> np.ndarray:
    """Power of the harmonics up to 4 kHz (1 s: a bin of the spectrum is 1 Hz)."""
    return np.abs(np.fft.rfft(samples.numpy()))[100:4000:100] ** 2


def centroid(samples: torch.Tensor) -> float:
    """Mean frequency of the harmonics, Hz."""
    power = harmonics(samples)
    return float((power * np.arange(100, 4000, 100)).sum() / power.sum())


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.18])
def test_the_resonance_moves_and_the_harmonics_stay(factor):
    before = vowel()
    after = shift_formants(before, factor)
    assert after.shape == before.shape
    assert centroid(after) == pytest.approx(factor * centroid(before), rel=0.05)
    between = np.abs(np.fft.rfft(after.numpy()))[150:4000:100] ** 2
    assert between.sum() < 0.01 * harmonics(after).sum()
    assert after.square().mean().item() == pytest.approx(before.square().mean().item(), rel=1e-3)


def test_short_or_silent_clips_stay():
    short = torch.randn(500)
    assert torch.equal(shift_formants(short, 1.1), short)
    assert torch.equal(shift_formants(torch.zeros(4000), 1.1), torch.zeros(4000))
