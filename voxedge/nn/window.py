"""Clips of any length to one window of samples: longer ones are cut, shorter ones are padded.

Shapes: B batch, S samples of a row, W samples of the window, Q positions in the window.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

Padding: TypeAlias = Literal["repeat", "zero"]

_FLOAT64_FROM = 1 << 21  # samples: half of one, relative to the window, is then lost in a float32


class Window(nn.Module):
    """Cut or pad clips to one window.

    Args:
        samples: W.
        padding: ``repeat`` fills the window with copies of a short clip, ``zero`` with silence.
    """

    positions: Tensor

    def __init__(self, samples: int, padding: Padding) -> None:
        super().__init__()
        self.samples = samples
        self.padding = padding
        self.register_buffer(
            "positions", torch.arange(samples, dtype=torch.int32), persistent=False
        )

    def forward(self, pcm: Tensor, lengths: Tensor) -> Tensor:
        """Samples [B, S] and valid samples int64 [B] (or [1], for all rows) -> [B, W]."""
        return self.samples_at(self.positions, pcm, lengths)

    def samples_at(self, positions: Tensor, pcm: Tensor, lengths: Tensor) -> Tensor:
        """Samples at some positions of the window, int32 [Q] -> [B, Q]; the rest as ``forward``."""
        # B comes from pcm alone: the default of the exported lengths has shape [1] and broadcasts.
        batch, samples = pcm.shape
        valid = torch.clamp(lengths, min=1, max=samples).int().unsqueeze(1).expand(batch, 1)
        # This is positions % valid, but an integer remainder takes three times as long. The inverse
        # is too large by less than a sample, so that no whole quotient is rounded down. A factor of
        # 1 + 0.5 / W would be dropped by the exporter, which takes it for 1 if W exceeds 50,000.
        real = torch.float32 if self.samples < _FLOAT64_FROM else torch.float64
        inverse = (self.samples + 0.5) / (valid.to(real) * self.samples)
        repeats = (positions.to(real) * inverse).int()
        window = pcm.gather(1, positions - repeats * valid)
        if self.padding == "zero":
            window = window * (positions < valid)
        return window

    def filled_fraction(self, pcm: Tensor, lengths: Tensor) -> Tensor:
        """Clip length / window length, at most 1, [B] or [1]; arguments as for ``forward``."""
        valid = torch.clamp(lengths, min=1, max=pcm.shape[1])
        return valid.clamp(max=self.samples).float() / self.samples
