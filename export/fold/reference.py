"""What a folded front end should compute, written again plainly: NumPy, float64, frame by frame.

Where a front end's own package is installed (kaldi-native-fbank), that is asked as well: these
functions and the graph could share a misreading of the specification. The mean over time is not
taken off here: the level of a band decides how exactly a float32 can hold it.

Shapes: W samples of a window, T frames, N samples of a frame, M bands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples

Floats: TypeAlias = npt.NDArray[np.float64]
Reference: TypeAlias = Callable[[Samples], Floats]  # samples of a window [W] -> features


def kaldi_fbank(samples: Samples, rate: int, bands: int, frame_window: str, scale: float) -> Floats:
    """Kaldi's log mel energies of samples [W], [T, M]; arguments as for ``KaldiFbank``."""
    size, hop = int(rate * 0.025), int(rate * 0.01)
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), size)[::hop]
    frames = scale * (frames - frames.mean(axis=1, keepdims=True))
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    cosine = np.cos(2 * np.pi * np.arange(size) / (size - 1))
    weights = 0.54 - 0.46 * cosine
    if frame_window == "povey":
        weights = (0.5 - 0.5 * cosine) ** 0.85
    n_fft = 1 << (size - 1).bit_length()
    power = np.abs(np.fft.rfft((frames - 0.97 * before) * weights, n_fft)[:, :-1]) ** 2
    mel = 1127 * np.log1p(np.arange(n_fft // 2) * rate / n_fft / 700)
    low, high = (1127 * np.log1p(hertz / 700) for hertz in (20, rate / 2))
    width = (high - low) / (bands + 1)
    centres = low + width * np.arange(1, bands + 1)[:, None]
    filters = np.maximum(1 - np.abs(mel - centres) / width, 0)
    energies: Floats = np.log(np.maximum(power @ filters.T, np.finfo(np.float32).eps))
    return energies


def speechbrain_fbank(samples: Samples, rate: int, bands: int) -> Floats:
    """SpeechBrain's mel bands in dB of samples [W], [T, M]; arguments as ``SpeechBrainFbank``."""
    size, hop = round(rate * 0.025), round(rate * 0.01)
    padded = np.pad(samples.astype(np.float64), size // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    weights = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(size) / size)
    power = np.abs(np.fft.rfft(frames * weights)) ** 2
    mels = np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), bands + 2)
    hertz = 700 * (10 ** (mels / 2595) - 1)
    bins = np.arange(size // 2 + 1) * rate / size
    filters = np.maximum(1 - np.abs(bins - hertz[1:-1, None]) / np.diff(hertz)[:-1, None], 0)
    decibels = 10 * np.log10(np.maximum(power @ filters.T, 1e-10))
    limited: Floats = np.maximum(decibels, decibels.max() - 80)
    return limited


def kaldi_native_fbank(rate: int, bands: int, frame_window: str, scale: float) -> Reference | None:
    """The package kaldi-native-fbank as a reference; None where it is not installed."""
    try:
        import kaldi_native_fbank as native
    except ImportError:
        return None
    options: Any = native.FbankOptions()
    options.frame_opts.samp_freq = rate
    options.frame_opts.dither = 0
    options.frame_opts.window_type = frame_window
    options.mel_opts.num_bins = bands

    def reference(samples: Samples) -> Floats:
        bank = native.OnlineFbank(options)
        bank.accept_waveform(rate, samples * np.float32(scale))
        bank.input_finished()
        frames = [bank.get_frame(index) for index in range(bank.num_frames_ready)]
        return np.stack(frames).astype(np.float64)

    return reference
