"""Playback speeds as additional training classes.

A clip played slower or faster, pitch included, sounds like another speaker, and training takes it
for one (Yamamoto et al. 2019, "Speaker augmentation and bandwidth extension for deep speaker
embedding").

Shapes: B batch, V samples of the playback window, M features of a frame, N bins of the spectrum,
P pixels of a side.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from voxedge.nn.features import LogPower, hann_window
from voxedge.nn.frontend import Frontend
from voxedge.nn.window import Window


class Playback(nn.Module):
    """The front end's image of clips played at one of several speeds.

    Nothing is resampled: the hop and the frequencies of the bands change instead. The spectrum
    comes from an FFT, which equals the exported matrix products up to rounding.

    Args:
        frontend: with log-power features.
        change: of the speed, as a fraction; 0 for clips as recorded only.

    Raises:
        TypeError: the front end has other features.
    """

    filters: Tensor
    taper: Tensor

    def __init__(self, frontend: Frontend, change: float) -> None:
        super().__init__()
        features = frontend.features
        if not isinstance(features, LogPower):
            raise TypeError("playback speeds need log-power features")
        self.frontend = frontend
        self.features = features
        self.speeds = (1.0, 1 - change, 1 + change) if change else (1.0,)
        filters = [features.filters_at(speed) for speed in self.speeds]
        self.register_buffer("filters", torch.stack(filters), persistent=False)  # [speeds, M, N]
        taper = hann_window(features.n_fft, features.win_length).float()
        self.register_buffer("taper", taper, persistent=False)
        self.hops = [round(features.hop_length * speed) for speed in self.speeds]
        samples = (features.frames - 1) * max(self.hops) + features.n_fft
        self.window = Window(max(samples, features.window.samples), features.window.padding)

    def forward(self, window: Tensor, speed: Tensor) -> Tensor:
        """Full windows [B, V] and indices of ``speeds`` int64 [B] -> image [B, 1, P, P]."""
        n_fft, frames = self.features.n_fft, self.features.frames
        features = window.new_empty(len(window), self.features.bands, frames)
        for index, (filters, hop) in enumerate(zip(self.filters, self.hops, strict=True)):
            rows = (speed == index).nonzero().squeeze(1)
            if not len(rows):
                continue  # torch.stft refuses an empty batch
            spectrum = torch.stft(
                window[rows], n_fft, hop, window=self.taper, center=False, return_complex=True
            )[:, :, :frames]
            power = torch.view_as_real(spectrum).square().sum(-1)
            features[rows] = self.features.log(filters @ power)
        return self.frontend.to_image(features)
