"""Convert buffers of another input format to samples for the front end. Traced, never trained.

Shapes: B batch, C channels, S samples of a channel in the buffer, D = C S values of a buffer,
R samples at the model's rate.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn

_FULL_SCALE = 32_768.0
# Resampling filters: resampy's "kaiser_best", as torchaudio documents it.
_ZERO_CROSSINGS = 32  # of the sinc, on each side
_ROLLOFF = 0.9475937167399596  # of the Nyquist frequency
_BETA = 14.769656459379492  # of the Kaiser window


class InputConversion(nn.Module):
    """Scale integers, average interleaved channels, and resample to the model's rate.

    Resampling is a convolution with one windowed-sinc filter for each phase of the output (Smith
    2002, "Digital audio resampling"; the filters are torchaudio's), so the graph needs only
    ``Conv``.

    Args:
        rate: Hz, of the buffer.
        sample_rate: Hz, of the model.
        channels: C, interleaved.
        integers: whether the buffer holds int16 instead of float32.
    """

    kernel: Tensor

    def __init__(
        self, rate: int, sample_rate: int, channels: int = 1, integers: bool = False
    ) -> None:
        super().__init__()
        self.channels = channels
        self.integers = integers
        common = math.gcd(rate, sample_rate)
        self.down, self.up = rate // common, sample_rate // common  # R = S * up / down
        if self.down != self.up:
            resample = torchaudio.transforms.Resample(
                rate,
                sample_rate,
                resampling_method="sinc_interp_kaiser",
                lowpass_filter_width=_ZERO_CROSSINGS,
                rolloff=_ROLLOFF,
                beta=_BETA,
            )
            self.register_buffer("kernel", resample.kernel, persistent=False)  # [up, 1, taps]
            self.width = (int(resample.kernel.shape[2]) - self.down) // 2

    def input_length(self, samples: int) -> int:
        """S that R samples are computed from, with what the filters reach beyond them."""
        if self.down == self.up:
            return samples
        return math.ceil(samples / self.up) * self.down + self.width + self.down

    def forward(self, pcm: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Buffer [B, D], valid samples of a channel int64 [B] or [1] -> samples [B, R], valid."""
        if self.integers:
            pcm = pcm.float() / _FULL_SCALE
        if self.channels > 1:
            pcm = pcm.reshape(pcm.shape[0], -1, self.channels).mean(dim=2)
        if self.down == self.up:
            return pcm, lengths
        valid = torch.clamp(lengths, min=1, max=pcm.shape[1])
        inside = torch.arange(pcm.shape[1]).unsqueeze(0) < valid.unsqueeze(1)
        padded = F.pad(pcm * inside, (self.width, self.width + self.down))
        phases = F.conv1d(padded.unsqueeze(1), self.kernel, stride=self.down)  # [B, up, R / up]
        resampled = phases.transpose(1, 2).flatten(1)
        return resampled, (valid * self.up + self.down - 1) // self.down
