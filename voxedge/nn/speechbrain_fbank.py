"""SpeechBrain's filter bank, as its ECAPA-TDNN and ResNet networks for speakers read it.

``speechbrain.lobes.features.Fbank`` with its defaults, and ``InputNormalization`` of one clip
without its deviation (Ravanelli et al. 2021, "SpeechBrain: a general-purpose speech toolkit"):
frames of 25 ms that are centred at multiples of 10 ms, with zeros beyond the ends; the periodic
Hamming window; an FFT of as many points as the frame has; decibels, at most 80 below the largest.

Shapes: B batch, S samples of a row, W samples of the window, T frames, M bands.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voxedge.nn.power_spectrum import PowerSpectrum
from voxedge.nn.window import Window

FRAME_SECONDS, HOP_SECONDS = 0.025, 0.01
RANGE = 80.0  # dB below the largest value of the window
POWER_FLOOR = 1e-10


class SpeechBrainFbank(nn.Module):
    """Samples -> mel bands in dB.

    Args:
        window: brings clips to W samples.
        sample_rate: Hz.
        bands: M.
        mean_norm: whether the mean over time is taken off each band.
    """

    filters: Tensor

    def __init__(
        self, window: Window, *, sample_rate: int, bands: int, mean_norm: bool = True
    ) -> None:
        super().__init__()
        self.window = window
        self.mean_norm = mean_norm
        n_fft, hop = round(sample_rate * FRAME_SECONDS), round(sample_rate * HOP_SECONDS)
        self.beyond = n_fft // 2  # samples before and behind the window
        frames = 1 + (window.samples + 2 * self.beyond - n_fft) // hop
        self.shape = (frames, bands)
        filters = speechbrain_filters(sample_rate, n_fft, bands)
        used = filters.any(dim=0).nonzero().flatten()  # bins that no band reads are not computed
        weights = torch.hamming_window(n_fft, periodic=True, dtype=torch.float64)
        self.spectrum = PowerSpectrum(frames, n_fft, weights, 0, hop, used)
        arranged = torch.zeros(bands, self.spectrum.size)
        arranged = arranged.index_copy(1, self.spectrum.places, filters[:, used])
        self.register_buffer("filters", arranged, persistent=False)

    def forward(self, pcm: Tensor, lengths: Tensor) -> Tensor:
        """Samples [B, S] with their valid lengths [B] -> bands in dB [B, T, M]."""
        padded = F.pad(self.window(pcm, lengths), (self.beyond, self.beyond))
        energies = self.filters @ self.spectrum(padded.index_select(1, self.spectrum.positions))
        bands = energies.clamp(min=POWER_FLOOR).log() * (10 / math.log(10))
        bands = torch.maximum(bands, bands.amax(dim=(1, 2), keepdim=True) - RANGE)
        if self.mean_norm:
            bands = bands - bands.mean(dim=2, keepdim=True)
        return bands.transpose(1, 2)


def speechbrain_filters(sample_rate: int, n_fft: int, bands: int) -> Tensor:
    """Triangles of height 1 in Hz, centred on the mel scale 2595 log10(1 + f / 700), [M, N].

    Both sides are as wide as the left one should be, as SpeechBrain has them. N = n_fft / 2 + 1.
    """
    top = 2595 * math.log10(1 + sample_rate // 2 / 700)
    hertz = 700 * (10 ** (torch.linspace(0, top, bands + 2) / 2595) - 1)
    width, centre = hertz.diff()[:-1, None], hertz[1:-1, None]
    distance = (torch.linspace(0, sample_rate // 2, n_fft // 2 + 1) - centre).abs()
    return (1 - distance / width).clamp(min=0)
