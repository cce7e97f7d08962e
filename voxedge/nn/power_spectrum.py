"""Power spectra of overlapping frames as two matrix products, half the size of the DFT's.

A periodic Hann window is symmetric, so with samples counted from a frame's centre the cosines see
only the sum of x[k] and x[-k], and the sines only the difference. Power does not know where the
frame began, so counting from the centre changes nothing. No sample is used that the window sets to
zero, and no bin is computed that nobody asked for.

Shapes: B batch, W samples of the window, T frames, H half of a frame, N bins.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class PowerSpectrum(nn.Module):
    """Squared magnitude of the windowed DFT of each frame, [B, W] -> [B, T, N].

    Args:
        samples: W.
        n_fft: points of the DFT.
        win_length: samples of the periodic Hann window, centred in ``n_fft``.
        hop_length: samples between frames.
        bins: which of the DFT's, int64 [N].
    """

    forwards: Tensor
    backwards: Tensor
    cosines: Tensor
    sines: Tensor

    def __init__(
        self, samples: int, n_fft: int, win_length: int, hop_length: int, bins: Tensor
    ) -> None:
        super().__init__()
        frames = 1 + (samples - n_fft) // hop_length
        self.width = win_length // 2
        first = (n_fft - win_length) // 2
        last = first + (frames - 1) * hop_length
        self.after = first + (win_length + 1) // 2  # the second half of the first frame
        self.before = samples - 1 - (last + win_length // 2)  # first half of the last, reversed
        # Frames are put together from whole blocks of the signal: a few large copies.
        self.block = math.gcd(hop_length, self.width)
        starts = torch.arange(frames)[:, None] * (hop_length // self.block)
        blocks = starts + torch.arange(self.width // self.block)
        self.register_buffer("forwards", blocks.flatten(), persistent=False)
        self.register_buffer("backwards", blocks.flip(0).flatten(), persistent=False)
        window = torch.hann_window(win_length, periodic=True, dtype=torch.float64)[-self.width :]
        if win_length % 2 == 0:
            window[0] /= 2  # the centre is its own mirror image
        places = torch.arange(self.width, dtype=torch.float64) + (win_length % 2) / 2
        angles = 2 * math.pi * places[:, None] * bins / n_fft
        cosines, sines = torch.cos(angles) * window[:, None], torch.sin(angles) * window[:, None]
        self.register_buffer("cosines", cosines.float(), persistent=False)  # [H, N]
        self.register_buffer("sines", sines.float(), persistent=False)

    def forward(self, window: Tensor) -> Tensor:
        """[B, W] -> power [B, T, N]."""
        after = self._framed(window, self.after, self.forwards)
        before = self._framed(window.flip(1), self.before, self.backwards)
        cosine, sine = (after + before) @ self.cosines, (after - before) @ self.sines
        return cosine * cosine + sine * sine

    def _framed(self, signal: Tensor, start: int, order: Tensor) -> Tensor:
        """[B, W] -> its overlapping pieces from ``start`` on, [B, T, H]."""
        count = (signal.shape[1] - start) // self.block
        blocks = signal[:, start : start + count * self.block].reshape(-1, count, self.block)
        frames = len(order) * self.block // self.width
        return blocks.index_select(1, order).reshape(-1, frames, self.width)
