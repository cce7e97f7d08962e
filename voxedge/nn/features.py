"""Features of a window of samples: log-power spectrograms, and the seed system's complex log-mel.

Shapes: B batch, S samples of a row, W samples of the window, T frames, N bins of the spectrum,
M features of a frame (mel bands or linear bins).
"""

from __future__ import annotations

import math
import warnings
from typing import Literal

import torch
import torch.nn.functional as F
import torchaudio.functional as audio
from torch import Tensor, nn

from voxedge.nn.power_spectrum import PowerSpectrum
from voxedge.nn.window import Window

_LOG_FLOOR = 1e-6  # of the clip's mean power
_SILENCE = 1e-9  # mean power of a clip, about -100 dB of full scale: the floor sinks no further
_SEED_FLOOR = 1e-9  # the seed system's, added to the complex mel spectrum
_SEED_MEL_RATE = 22_050  # Hz: the seed system did not pass its 16 kHz to the mel filters
_TINY = 1e-12  # peak or magnitude that is not divided by


class LogPower(nn.Module):
    """Log power in mel bands or linear bins.

    Args:
        window: brings clips to W samples.
        feature: ``mel`` bands or ``linear`` bins.
        sample_rate: Hz.
        n_fft: points of the DFT; a power of two.
        win_length: samples of the periodic Hann window, centred in ``n_fft``.
        hop_length: samples between frames.
        n_mels: mel bands; unused for linear bins.
        f_min: Hz, lower edge of the first band, or lowest bin.
        f_max: Hz, upper edge of the last band, or highest bin.
    """

    filters: Tensor

    def __init__(
        self,
        window: Window,
        *,
        feature: Literal["mel", "linear"],
        sample_rate: int,
        n_fft: int,
        win_length: int,
        hop_length: int,
        n_mels: int,
        f_min: float,
        f_max: float,
    ) -> None:
        super().__init__()
        self.window = window
        self.feature = feature
        self.sample_rate = sample_rate
        self.n_fft, self.win_length, self.hop_length = n_fft, win_length, hop_length
        self.n_mels, self.f_min, self.f_max = n_mels, f_min, f_max
        self.frames = 1 + (window.samples - n_fft) // hop_length
        filters = self.filters_at(1.0)
        self.bands = len(filters)  # M
        used = filters.any(dim=0).nonzero().flatten()  # bins that no band reads are not computed
        hann = torch.hann_window(win_length, periodic=True, dtype=torch.float64)
        begin = (n_fft - win_length) // 2
        self.spectrum = PowerSpectrum(self.frames, n_fft, hann, begin, hop_length, used)
        if feature == "mel":  # columns in the order in which the spectrum comes
            arranged = torch.zeros(self.bands, self.spectrum.size)
            arranged = arranged.index_copy(1, self.spectrum.places, filters[:, used])
            self.register_buffer("filters", arranged, persistent=False)

    def forward(self, pcm: Tensor, lengths: Tensor) -> Tensor:
        """Samples [B, S] with their valid lengths [B] -> features [B, M, T]."""
        power = self.spectrum(self.window.samples_at(self.spectrum.positions, pcm, lengths))
        if self.feature == "mel":
            return self.log(self.filters @ power)
        return self.log(power.index_select(1, self.spectrum.places))

    def log(self, power: Tensor) -> Tensor:
        """Power in bands [B, M, T] -> its logarithm above a floor below the clip's mean power.

        The floor follows the clip, so gain changes nothing. ``log(1 + p / floor)`` is
        ``log(p + floor)`` shifted so that silence is exactly 0: near 0 a float32 resolves small
        differences ten times better, and no rounding is left for the normalisation to magnify.
        """
        # Clamped, not added: the exporter drops the addition of a constant this small.
        floor = power.mean(dim=(1, 2), keepdim=True).clamp(min=_SILENCE) * _LOG_FLOOR
        return torch.log(power * (1 / floor) + 1)

    def filters_at(self, speed: float) -> Tensor:
        """Filters for the spectrum of a clip that is to sound as if played at ``speed``, [M, N].

        Playing multiplies every frequency by ``speed``, so each band reads lower or higher bins.
        """
        if self.feature == "mel":
            rate = self.sample_rate * speed
            return mel_filters(rate, self.n_fft, self.n_mels, self.f_min, self.f_max)
        hertz = torch.arange(self.n_fft // 2 + 1) * self.sample_rate / self.n_fft
        wanted = hertz[(hertz >= self.f_min) & (hertz <= self.f_max)]
        distance = (wanted[:, None] / speed - hertz).abs()
        return (distance == distance.min(dim=1, keepdim=True).values).float()


class SeedFeatures(nn.Module):
    """The seed system's complex-log mel feature, faults included (docs/design.md).

    The complex STFT is multiplied by mel filters, its complex log is taken, each frame is divided
    by its largest magnitude, and the real part is kept. Frames are centred, with reflected edges,
    as librosa has them.

    Args:
        window: brings clips to W samples.
        n_fft: points of the DFT; a power of two.
        win_length: samples of the periodic Hann window, centred in ``n_fft``.
        hop_length: samples between frames.
        n_mels: mel bands, from 0 to 11,025 Hz of a rate that the samples do not have.
    """

    basis: Tensor
    filters: Tensor
    floor: Tensor

    def __init__(
        self, window: Window, *, n_fft: int, win_length: int, hop_length: int, n_mels: int
    ) -> None:
        super().__init__()
        self.window = window
        self.hop_length = hop_length
        self.reflected = n_fft // 2
        self.frames = 1 + (window.samples + 2 * self.reflected - n_fft) // hop_length
        self.bands = n_mels  # M
        filters = mel_filters(_SEED_MEL_RATE, n_fft, n_mels, 0.0, _SEED_MEL_RATE / 2)
        self.register_buffer("filters", filters, persistent=False)  # [M, N]
        self.register_buffer("basis", dft_basis(n_fft, win_length), persistent=False)
        # More than one value: the exporter drops the addition of a scalar constant below 1e-8.
        self.register_buffer("floor", torch.full((n_mels, 1), _SEED_FLOOR), persistent=False)

    def forward(self, pcm: Tensor, lengths: Tensor) -> Tensor:
        """Samples [B, S] with their valid lengths [B] -> features [B, M, T]."""
        window = self.window(pcm, lengths)
        peak = window.abs().amax(dim=1, keepdim=True).clamp(min=_TINY)
        padding = (self.reflected, self.reflected)
        window = F.pad((window / peak).unsqueeze(1), padding, mode="reflect")
        spectrum = F.conv1d(window, self.basis, stride=self.hop_length)
        real, imaginary = spectrum.chunk(2, dim=1)
        real = self.filters @ real + self.floor
        imaginary = self.filters @ imaginary
        log = 0.5 * torch.log((real * real + imaginary * imaginary).clamp(min=1e-37))
        # The phase enters by its square alone, so atan does: ONNX has no atan2.
        angle = torch.atan(imaginary.abs() / real.abs().clamp(min=1e-37))
        angle = torch.where(real < 0, math.pi - angle, angle)
        magnitude = torch.sqrt(log * log + angle * angle)
        return log / magnitude.amax(dim=1, keepdim=True).clamp(min=_TINY)


def dft_basis(n_fft: int, win_length: int) -> Tensor:
    """Windowed DFT as a convolution kernel [2 N, 1, n_fft]: cosines, then negated sines.

    Computed in float64, since the angles reach n_fft / 2 turns.
    """
    window = hann_window(n_fft, win_length)
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64).unsqueeze(1)
    turns = (bins * torch.arange(n_fft, dtype=torch.float64)) % n_fft / n_fft
    angles = 2 * math.pi * turns
    return (torch.cat([torch.cos(angles), -torch.sin(angles)]) * window).unsqueeze(1).float()


def hann_window(n_fft: int, win_length: int) -> Tensor:
    """A periodic Hann window of ``win_length`` in the middle of [n_fft], float64."""
    window = torch.hann_window(win_length, periodic=True, dtype=torch.float64)
    left = (n_fft - win_length) // 2
    return F.pad(window, (left, n_fft - win_length - left))


def mel_filters(sample_rate: float, n_fft: int, n_mels: int, f_min: float, f_max: float) -> Tensor:
    """Triangular mel filters of unit area [M, N]: Slaney's scale and norm (Auditory Toolbox, 1998).

    Args:
        sample_rate: Hz; rounded to an even number, as torchaudio takes no other Nyquist frequency.
        n_fft: points of the DFT.
        n_mels: M.
        f_min: Hz, lower edge of the first band.
        f_max: Hz, upper edge of the last band.
    """
    rate = 2 * round(sample_rate / 2)
    with warnings.catch_warnings():  # bands may be empty: above Nyquist, or narrower than a bin
        warnings.simplefilter("ignore")
        filters: Tensor = audio.melscale_fbanks(
            n_fft // 2 + 1, f_min, f_max, n_mels, rate, norm="slaney", mel_scale="slaney"
        )
    return filters.T.contiguous()
