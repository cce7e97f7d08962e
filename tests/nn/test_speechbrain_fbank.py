"""SpeechBrain's filter bank next to the package, where it is installed, and next to NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from voxedge.export.fold.reference import speechbrain_fbank

from tests.conftest import RATE, voice
from voxedge.nn.speechbrain_fbank import SpeechBrainFbank
from voxedge.nn.window import Window

TOLERANCE = 1e-3 * 10 / np.log(10)  # dB


def bands_of(x: np.ndarray, bands: int = 80, mean_norm: bool = False) -> np.ndarray:
    bank = SpeechBrainFbank(
        Window(len(x), "repeat"), sample_rate=RATE, bands=bands, mean_norm=mean_norm
    )
    features = bank(torch.from_numpy(x)[None], torch.tensor([len(x)]))[0]
    assert bank.shape == features.shape
    return features.numpy()


@pytest.mark.parametrize("bands", [40, 80])
@pytest.mark.parametrize("mean_norm", [False, True])
def test_equals_the_package(bands, mean_norm):
    try:
        from speechbrain.lobes.features import Fbank
        from speechbrain.processing.features import InputNormalization
    except ImportError as error:
        pytest.skip(f"SpeechBrain is not installed: {error}")
    normalise = InputNormalization(norm_type="sentence", std_norm=False)
    for x in (voice(110, 1.0, 0), voice(205, 1.37, 1)):
        expected = Fbank(n_mels=bands)(torch.from_numpy(x)[None])
        if mean_norm:
            expected = normalise(expected, torch.ones(1))
        actual = bands_of(x, bands, mean_norm)
        np.testing.assert_allclose(actual, expected[0].numpy(), atol=TOLERANCE)


def test_equals_the_specification():
    for x in (voice(110, 1.0, 0), voice(205, 1.37, 1)):
        np.testing.assert_allclose(bands_of(x), speechbrain_fbank(x, RATE, 80), atol=TOLERANCE)


def test_no_value_is_more_than_80_db_below_the_largest():
    x = np.concatenate([voice(110, 1.0, 0), np.zeros(8_000, np.float32)])
    bands = bands_of(x)
    assert bands.min() == pytest.approx(bands.max() - 80, abs=1e-3)
