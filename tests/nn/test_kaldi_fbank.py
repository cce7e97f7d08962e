"""Kaldi's filter bank next to two other implementations of it, and next to the specification."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchaudio.compliance.kaldi as compliance

from tests.conftest import RATE, voice
from voxedge.nn.kaldi_fbank import KaldiFbank
from voxedge.nn.window import Window

TOLERANCE = 1e-3  # of a log energy
RANGE = 14.0  # below the loudest band of the frame: further down float32 itself is less exact


def bank(samples: int, **settings) -> KaldiFbank:
    defaults = {"sample_rate": RATE, "bands": 80, "mean_norm": False}
    return KaldiFbank(Window(samples, "repeat"), **{**defaults, **settings})


def bands_of(x: np.ndarray, **settings) -> np.ndarray:
    features = bank(len(x), **settings)(torch.from_numpy(x)[None], torch.tensor([len(x)]))
    return features[0].numpy()


def close(actual: np.ndarray, expected: np.ndarray) -> bool:
    heard = expected > expected.max(axis=1, keepdims=True) - RANGE
    return actual.shape == expected.shape and np.abs(actual - expected)[heard].max() <= TOLERANCE


def clips() -> list[np.ndarray]:
    quiet, random = voice(110, 1.0, 1) * 1e-3, np.random.default_rng(0)
    return [
        voice(205, 1.3, 0),
        voice(150, 1.0, 2) + np.float32(0.3),  # a microphone's offset
        np.concatenate([np.zeros(5_000, np.float32), quiet]),
        random.normal(0, 0.1, 7_777).astype(np.float32),
    ]


@pytest.mark.parametrize("frame_window", ["povey", "hamming"])
@pytest.mark.parametrize("scale", [1.0, 32_768.0])
def test_equals_torchaudios(frame_window, scale):
    for x in clips():
        expected = compliance.fbank(
            torch.from_numpy(x)[None] * scale,
            num_mel_bins=80,
            window_type=frame_window,
            dither=0.0,
            sample_frequency=RATE,
        )
        assert close(bands_of(x, frame_window=frame_window, scale=scale), expected.numpy())


@pytest.mark.parametrize("frame_window", ["povey", "hamming"])
@pytest.mark.parametrize(("rate", "bands"), [(16_000, 80), (16_000, 40), (8_000, 40)])
def test_equals_kaldi_native_fbank(frame_window, rate, bands):
    native = pytest.importorskip("kaldi_native_fbank")
    options = native.FbankOptions()
    options.frame_opts.samp_freq, options.frame_opts.dither = rate, 0
    options.frame_opts.window_type, options.mel_opts.num_bins = frame_window, bands
    for x in clips():
        reference = native.OnlineFbank(options)
        reference.accept_waveform(rate, x)
        reference.input_finished()
        expected = np.stack([reference.get_frame(i) for i in range(reference.num_frames_ready)])
        settings = {"sample_rate": rate, "bands": bands, "frame_window": frame_window}
        assert close(bands_of(x, **settings), expected)


def test_povey_is_not_hann():
    """The near miss: Hann's window instead of its power differs by more than is allowed."""
    x = voice(150, 1.0, 0)
    hann = compliance.fbank(torch.from_numpy(x)[None], num_mel_bins=80, window_type="hanning")
    assert not close(bands_of(x), hann.numpy())


@pytest.mark.parametrize(
    ("samples", "frames"), [(400, 1), (559, 1), (560, 2), (48_000, 298), (48_079, 298)]
)
def test_only_whole_frames_count(samples, frames):
    assert bank(samples).shape == (frames, 80)
    assert bands_of(np.ones(samples, np.float32)).shape == (frames, 80)


def test_silence_is_at_the_floor():
    assert np.allclose(bands_of(np.zeros(2_000, np.float32)), np.log(1.1920929e-07))


def test_the_mean_over_time_is_taken_off():
    x = voice(150, 1.0, 0)
    raw, centred = bands_of(x), bands_of(x, mean_norm=True)
    np.testing.assert_allclose(centred, raw - raw.mean(axis=0), atol=1e-5)


def test_a_short_clip_fills_the_window():
    x = voice(150, 0.5, 0)
    whole = bank(16_000)
    rows = torch.from_numpy(np.stack([np.pad(x, (0, 4_000)), np.pad(x, (0, 4_000))]))
    features = whole(rows, torch.tensor([len(x)]))
    expected = bands_of(np.resize(x, 16_000))
    np.testing.assert_allclose(features.numpy(), np.stack([expected, expected]), atol=1e-3)
