"""What a device's own buffer holds -> the samples that the front end takes. Traced, never trained.

Shapes: B batch, D values of a buffer, C channels, S samples at the device's rate, R at the model's.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn

_FULL_SCALE = 32_768.0
_ZERO_CROSSINGS = 32  # of the sinc, on each side
_ROLLOFF = 0.9475937167399596  # of the Nyquist frequency, and
_BETA = 14.769656459379492  # of the window: resampy's "kaiser_best", as torchaudio documents it


class DeviceInput(nn.Module):
    """Integers, interleaved channels and another sample rate, undone.

    Resampling is a convolution with one filter for each phase of the output, windowed sinc (Smith
    2002, "Digital audio resampling"; the filters are torchaudio's), so that the graph needs nothing
    but ``Conv``.

    Args:
        rate: Hz, of the device.
        sample_rate: Hz, of the model.
        channels: C, interleaved; the mean of them is taken.
        integers: int16 instead of float32.
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

    def needed(self, samples: int) -> int:
        """S that R samples are made from, the reach of the filters included."""
        if self.down == self.up:
            return samples
        return math.ceil(samples / self.up) * self.down + self.width + self.down

    def forward(self, pcm: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Buffer [B, D] and valid samples int64 [B] or [1] -> samples [B, R], valid of them."""
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
