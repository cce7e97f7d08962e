"""Kaldi's log mel filter bank, as most published speaker networks read it.

The specification is Kaldi's ``feature-window.cc``, ``feature-fbank.cc`` and ``mel-computations.cc``
(Povey et al. 2011, "The Kaldi speech recognition toolkit"), without dither. For sample i of a frame
x of N samples, with the frame's mean m, the pre-emphasis coefficient c and the window w, Kaldi
takes the spectrum of

    w[i] ((x[i] - m) - c (x[i - 1] - m)) = w[i] (x[i] - c x[i - 1] - (1 - c) m),

where x[-1] stands for x[0]. The first two terms do not depend on the frame, except at i = 0, so
they are computed once for all samples, and only m for each frame.

Shapes: B batch, S samples of a row, W samples of the window, N samples of a frame, T frames,
C and K see ``PowerSpectrum``, M bands.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voxedge.nn.power_spectrum import PowerSpectrum
from voxedge.nn.window import Window

FrameWindow: TypeAlias = Literal["povey", "hamming"]

FRAME_SECONDS, HOP_SECONDS = 0.025, 0.01
PRE_EMPHASIS = 0.97
LOW_HERTZ = 20.0  # lower edge of the first band
LOG_FLOOR = torch.finfo(torch.float32).eps  # of a band's energy


class KaldiFbank(nn.Module):
    """Samples -> log mel energies of frames that lie within the window (``snip_edges``).

    Args:
        window: brings clips to W samples.
        sample_rate: Hz.
        bands: M.
        frame_window: w.
        scale: of the samples: 1 for networks that were trained on [-1, 1] (3D-Speaker), 32,768 for
            the range of int16 (Kaldi, WeSpeaker). It decides how far down the floor lies.
        mean_norm: whether the mean over time is taken off each band.
    """

    within: Tensor
    starts: Tensor
    filters: Tensor

    def __init__(
        self,
        window: Window,
        *,
        sample_rate: int,
        bands: int,
        frame_window: FrameWindow = "povey",
        scale: float = 1.0,
        mean_norm: bool = True,
    ) -> None:
        super().__init__()
        self.window = window
        self.mean_norm = mean_norm
        self.size = int(sample_rate * FRAME_SECONDS)  # N
        self.hop = int(sample_rate * HOP_SECONDS)
        n_fft = 1 << (self.size - 1).bit_length()
        frames = 1 + (window.samples - self.size) // self.hop
        self.shape = (frames, bands)
        filters = kaldi_filters(sample_rate, n_fft, bands)
        used = filters.any(dim=0).nonzero().flatten()  # bins that no band reads are not computed
        weights = _frame_window(frame_window, self.size)
        self.spectrum = PowerSpectrum(frames, n_fft, weights, 0, self.hop, used)
        arranged = torch.zeros(bands, self.spectrum.size, dtype=torch.float64)
        arranged = arranged.index_copy(1, self.spectrum.places, filters[:, used] * scale**2)
        self.register_buffer("filters", arranged.float(), persistent=False)
        # Sample i >= 1 of a frame is difference i - 1; sample 0 stands behind all differences.
        # Behind the frame the spectrum's window is 0, and any sample will do.
        sample = self.spectrum.offsets + self.spectrum.phases  # [C, K, 1]
        within = sample.clamp(max=self.size - 1) - 1
        within[0, 0] = window.samples - 1
        self.register_buffer("within", within, persistent=False)
        self.register_buffer("starts", self.spectrum.starts, persistent=False)

    def forward(self, pcm: Tensor, lengths: Tensor) -> Tensor:
        """Samples [B, S] with their valid lengths [B] -> log mel energies [B, T, M]."""
        samples = self.window(pcm, lengths)
        # Each frame's mean comes off below; that of all samples before, so that a microphone's
        # offset does not take digits from the differences.
        samples = samples - samples.mean(dim=1, keepdim=True)
        differences = samples[:, 1:] - PRE_EMPHASIS * samples[:, :-1]
        emphasised = torch.cat([differences, (1 - PRE_EMPHASIS) * samples], dim=1)
        frames = emphasised.index_select(1, (self.within + self.starts).flatten())
        means = F.avg_pool1d(samples.unsqueeze(1), self.size, self.hop)  # [B, 1, T]
        frames = frames.reshape(pcm.shape[0], -1, len(self.starts)) - (1 - PRE_EMPHASIS) * means
        energies = self.filters @ self.spectrum(frames.flatten(1))  # [B, M, T]
        bands: Tensor = energies.clamp(min=LOG_FLOOR).log()
        if self.mean_norm:
            bands = bands - bands.mean(dim=2, keepdim=True)
        return bands.transpose(1, 2)


def kaldi_filters(sample_rate: int, n_fft: int, bands: int) -> Tensor:
    """Triangles of height 1 on the mel scale 1127 ln(1 + f / 700) (HTK's), [M, N], float64.

    They reach from ``LOW_HERTZ`` to half the sample rate; N = n_fft / 2 + 1 bins.
    """

    def mel(hertz: Tensor) -> Tensor:
        return 1127.0 * torch.log1p(hertz / 700.0)

    ends = mel(torch.tensor([LOW_HERTZ, sample_rate / 2], dtype=torch.float64))
    edges = torch.linspace(float(ends[0]), float(ends[1]), bands + 2, dtype=torch.float64)
    bins = mel(torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    filters = torch.minimum(rising, falling).clamp(min=0)
    filters[:, -1] = 0  # Kaldi leaves out the bin at half the sample rate
    return filters


def _frame_window(name: FrameWindow, size: int) -> Tensor:
    """A symmetric window [N], float64; Povey's is a Hann window to the power of 0.85."""
    turns = 2 * math.pi / (size - 1) * torch.arange(size, dtype=torch.float64)
    if name == "hamming":
        return 0.54 - 0.46 * torch.cos(turns)
    return (0.5 - 0.5 * torch.cos(turns)).clamp(min=0) ** 0.85
