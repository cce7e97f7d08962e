"""Power spectra of overlapping frames, by two batches of small matrix products.

The products are one step of the FFT, a decimation in time (Cooley and Tukey 1965). With C a + b
the index of sample a of phase b, and Y[b] the DFT of phase b over R = n_fft / C points,

    X[k] = sum over b of exp(-2 pi i k b / n_fft) Y[b, k mod R].

The samples are real, so Y[b, R - r] is the conjugate of Y[b, r], and R real numbers hold all of
Y[b]. With R near the square root of n_fft that is a seventh of the DFT's multiplications. Another
step would save more of them, but would move everything through memory once more.

The power does not depend on where a frame begins, so frames begin where their window does. Only
the bins that are asked for are computed.

Shapes: B batch, T frames, C and R as above, K samples of a phase inside the Hann window,
Q = C K T, G = R / 2 pairs of r and R - r, L bins of a pair (at most), N bins in all.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PowerSpectrum(nn.Module):
    """Squared magnitude of the windowed DFT of each frame, [B, Q] -> [B, G L, T].

    ``positions`` are the samples that it takes; ``places`` are the rows of its output where the
    bins are, in the order of ``bins``.

    Args:
        frames: T.
        n_fft: points of the DFT; a power of two, or a multiple of its R, as 400.
        window: float64, at most ``n_fft`` values.
        begin: sample of the frame at which the window begins.
        hop_length: samples between frames.
        bins: of the DFT, int64 [N].
    """

    offsets: Tensor
    phases: Tensor
    starts: Tensor
    first: Tensor
    second: Tensor
    places: Tensor

    def __init__(
        self, frames: int, n_fft: int, window: Tensor, begin: int, hop_length: int, bins: Tensor
    ) -> None:
        super().__init__()
        residues = 1 << (n_fft.bit_length() // 2)  # R
        width = n_fft // residues  # C
        count = -(-len(window) // width)  # K
        start = min(begin, n_fft - count * width)
        self.register_buffer("offsets", _arange(width)[:, None, None] + start, persistent=False)
        self.register_buffer("phases", _arange(count)[:, None] * width, persistent=False)
        self.register_buffer("starts", _arange(frames) * hop_length, persistent=False)
        padded = F.pad(window, (begin - start, start + count * width - begin - len(window)))
        first = _first_step(padded.reshape(count, width), residues)
        self.register_buffer("first", first.float(), persistent=False)  # [C, R, K]
        second, places = _second_step(bins, n_fft, residues)
        self.register_buffer("second", second.float(), persistent=False)  # [G, 2 L, 2 C]
        self.register_buffer("places", places, persistent=False)  # [N]
        self.size = second.shape[0] * second.shape[1] // 2  # G L

    @property
    def positions(self) -> Tensor:
        """Indices of the samples that ``forward`` takes, int32 [Q]; frames that overlap repeat."""
        return (self.offsets + self.phases + self.starts).flatten()

    def forward(self, samples: Tensor) -> Tensor:
        """Samples at ``positions`` [B, Q] -> power [B, G L, T]."""
        width, residues, count = self.first.shape
        batch, groups, frames = samples.shape[0], residues // 2, len(self.starts)
        phases = self.first @ samples.reshape(batch, width, count, frames)  # [B, C, R, T]
        pairs = phases.reshape(batch, width, groups, 2 * frames).transpose(1, 2)
        spectrum = self.second @ pairs.reshape(batch, groups, 2 * width, frames)  # [B, G, 2 L, T]
        squares = (spectrum * spectrum).reshape(batch, groups, 2, -1)
        return squares.sum(dim=2).reshape(batch, self.size, frames)


def _arange(size: int) -> Tensor:
    return torch.arange(size, dtype=torch.int32)


def _first_step(window: Tensor, residues: int) -> Tensor:
    """Samples of each phase -> real and imaginary part of Y[b, r] for r < R / 2, [C, R, K].

    The window [K, C] is part of it. Y[b, 0] is real, as is Y[b, R / 2], which therefore takes
    the place of its imaginary part.
    """
    sample = torch.arange(len(window), dtype=torch.float64)
    angles = 2 * math.pi / residues * torch.arange(residues // 2)[:, None] * sample
    waves = torch.stack([torch.cos(angles), -torch.sin(angles)], dim=1)  # [G, 2, K]
    waves[0, 1] = torch.cos(math.pi * sample)
    return waves.reshape(1, residues, -1) * window.T.unsqueeze(1)


def _second_step(bins: Tensor, n_fft: int, residues: int) -> tuple[Tensor, Tensor]:
    """Y of each pair -> real parts of X, then imaginary ones, [G, 2 L, 2 C]; bins' places [N]."""
    residue, groups = bins % residues, residues // 2
    group = torch.minimum(residue, residues - residue) % groups
    place = (F.one_hot(group, groups).cumsum(dim=0) - 1)[torch.arange(len(bins)), group]
    largest = int(place.max()) + 1
    offset = torch.arange(n_fft // residues, dtype=torch.float64)
    angles = 2 * math.pi / n_fft * bins[:, None] * offset
    cosine, sine = torch.cos(angles), torch.sin(angles)
    sign = 1 - 2 * (residue > groups)[:, None].double()  # of Y's imaginary part
    sign[residue % groups == 0] = 0
    real = torch.stack([cosine, sign * sine], dim=2)  # [N, C, 2]
    imaginary = torch.stack([-sine, sign * cosine], dim=2)
    half = residue == groups  # Y[b, R / 2], in place of the imaginary part of Y[b, 0]
    real[half], imaginary[half] = real[half].flip(2), imaginary[half].flip(2)
    matrix = torch.zeros(groups, 2, largest, 2 * len(offset), dtype=torch.float64)
    matrix[group, 0, place], matrix[group, 1, place] = real.flatten(1), imaginary.flatten(1)
    return matrix.flatten(1, 2), group * largest + place
