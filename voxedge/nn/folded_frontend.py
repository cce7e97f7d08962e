"""Front ends that published networks were trained with, to put before them: what they share.

Each is written from the samples on with the same operators as our own (``voxedge.nn.frontend``), so
that a folded network needs no signal processing either. A folded graph always reads one window of
fixed length, so every shape behind the front end is known, but for the batch.

Shapes: B batch, S samples of a row, W samples of the window.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from voxedge.nn.window import Window


class FoldedFrontend(Protocol):
    """Samples -> the input that a network was trained with."""

    @property
    def window(self) -> Window:
        """What brings clips to W samples."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the input of one window: (frames, bands), or (W,)."""

    def __call__(self, pcm: Tensor, lengths: Tensor) -> Tensor:
        """Samples [B, S] with their valid lengths int64 [B] or [1] -> inputs [B, *shape]."""


class RawSamples(nn.Module):
    """The front end of a network that takes samples.

    Args:
        window: brings clips to W samples.
        scale: 1 for a network that was trained on [-1, 1], 32,768 for int16 values.
    """

    def __init__(self, window: Window, scale: float = 1.0) -> None:
        super().__init__()
        self.window = window
        self.scale = scale
        self.shape = (window.samples,)

    def forward(self, pcm: Tensor, lengths: Tensor) -> Tensor:
        """Samples [B, S] with their valid lengths [B] -> scaled windows [B, W]."""
        scaled: Tensor = self.window(pcm, lengths) * self.scale
        return scaled
