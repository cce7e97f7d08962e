"""The front end: raw samples -> the image that the trunk reads. Trained through, and traced.

Everything is a gather, a matrix product, a convolution or element-wise, so the graph needs neither
the ``STFT`` operator (no CUDA or WebGPU kernel; slower than a matrix product on a CPU) nor
``Resize``, and a device needs no signal processing. See docs/design.md, "The signal path".

Shapes: B batch, S samples of a row, W samples of the window, T frames, M features of a frame (mel
bands or linear bins), H rows and P columns of the image.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voxedge.nn.features import LogPower, SeedFeatures
from voxedge.nn.window import Window

Normalise: TypeAlias = Literal["clip", "bins", "minmax", "none"]

#: Version of the signal path. Raise it whenever the same samples and settings give another image:
#: trained weights fit only the images that they were trained on.
SIGNAL_PATH = 2

_STD_FLOOR = 0.1  # log power: speech has 1 to 3; far below it there is only rounding to magnify


class Frontend(nn.Module):
    """Samples -> one normalised log-spectral image a clip.

    Args:
        features: samples -> features of each frame.
        normalise: ``clip`` gives the whole image zero mean and unit deviation, which removes gain;
            ``bins`` does so for each band over time, which also removes the colour of the
            microphone, and with it the speaker's; ``minmax`` scales the image to [0, 1].
        image_size: H.
        antialias: whether the resize averages where an axis shrinks.
        columns: P; 0 for H.
    """

    rows: Tensor
    columns: Tensor

    def __init__(
        self,
        features: LogPower | SeedFeatures,
        normalise: Normalise,
        image_size: int,
        antialias: bool = True,
        columns: int = 0,
    ) -> None:
        super().__init__()
        self.features = features
        self.normalise = normalise
        self.image_size = image_size
        self.image_columns = columns or image_size
        rows = resize_matrix(features.bands, image_size, antialias)
        across = resize_matrix(features.frames, self.image_columns, antialias).T.contiguous()
        self.register_buffer("rows", rows, persistent=False)  # [H, M]
        self.register_buffer("columns", across, persistent=False)  # [T, P]

    @property
    def window(self) -> Window:
        """What brings clips to W samples."""
        return self.features.window

    def forward(self, pcm: Tensor, lengths: Tensor) -> Tensor:
        """Samples [B, S] with their valid lengths [B] -> image [B, 1, H, P]."""
        return self.to_image(self.features(pcm, lengths))

    def image(self, window: Tensor) -> Tensor:
        """Full windows [B, W] -> image [B, 1, H, P]."""
        return self.forward(window, torch.tensor([window.shape[1]], device=window.device))

    def to_image(self, features: Tensor) -> Tensor:
        """Features [B, M, T] -> normalised and resized, [B, 1, H, P]."""
        image = self._normalised(features)
        if features.shape[2] != self.image_columns:
            image = image @ self.columns
        if features.shape[1] != self.image_size:
            image = self.rows @ image
        return image.unsqueeze(1)

    def _normalised(self, features: Tensor) -> Tensor:
        if self.normalise in ("clip", "bins"):
            over = (1, 2) if self.normalise == "clip" else (2,)
            centred = features - features.mean(dim=over, keepdim=True)
            deviation = torch.sqrt((centred * centred).mean(dim=over, keepdim=True))
            return centred / (deviation + _STD_FLOOR)
        if self.normalise == "minmax":
            low = features.amin(dim=(1, 2), keepdim=True)
            high = features.amax(dim=(1, 2), keepdim=True)
            return (features - low) / (high - low + _STD_FLOOR)
        return features


def resize_matrix(size: int, target: int, antialias: bool) -> Tensor:
    """Linear interpolation along one axis as a matrix [target, size] (half-pixel centres).

    With ``antialias`` the triangle widens where the axis shrinks, as in Pillow.
    """
    identity = torch.eye(size).reshape(1, 1, size, size)
    if antialias:
        resized = F.interpolate(
            identity, size=(target, size), mode="bilinear", antialias=True, align_corners=False
        )
    else:
        resized = F.interpolate(identity, size=(target, size), mode="bilinear", align_corners=False)
    return resized.reshape(target, size)
