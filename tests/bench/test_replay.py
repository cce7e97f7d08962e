"""Attacks by played and cloned voices."""

from __future__ import annotations

import numpy as np
import pytest

from bench.replay import clone, power
from tests.conftest import RATE, voice


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference of two spectra in dB, their levels aside."""
    ratio = 10 * np.log10(one / other)
    return float(np.abs(ratio - ratio.mean()).mean())


def test_a_clone_has_the_long_term_spectrum_and_the_level_of_its_target():
    spoken, target = voice(110.0, 3.0, 1), 0.5 * voice(270.0, 3.0, 2)
    cloned = clone(spoken, target)
    assert cloned.shape == spoken.shape
    assert cloned.std() == pytest.approx(target.std(), rel=0.05)
    before, after = (distance(power(each), power(target)) for each in (spoken, cloned))
    assert after < 0.6 * before


def test_the_power_of_a_tone_is_in_its_band():
    tone = np.sin(2 * np.pi * 1_000 * np.arange(RATE) / RATE).astype(np.float32)
    assert int(power(tone).argmax()) == 1_000 * 512 // RATE
