"""CAM++, a speaker network that others have trained on 200,000 voices.

Wang et al. 2023, "CAM++: a fast and efficient network for speaker verification using context-aware
masking", arXiv 2303.00332.

Two-dimensional residual blocks over the bands, then a densely connected TDNN whose layers are
masked by what the segment and the whole clip hold (sec. 2.2 and 2.3). Parameters have the names of
the published checkpoints (3D-Speaker). Written for graphs of a known number of frames: a mask is
computed once for each segment of 100 frames, not for each frame, which gives the same values.

Published CAM++ ends in a batch normalisation. Copies of its code exist that add a ReLU behind it;
that costs accuracy (docs/decisions.md).

Shapes: B batch, T frames, M bands, C channels, F frames of half the rate, G segments, E embedding.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

_BLOCKS = ((12, 1), (24, 2), (16, 2))  # layers, dilation
_CHANNELS, _GROWTH, _BOTTLENECK = 128, 32, 128
_MASK = 64  # channels that a mask is computed from
_PLANES = 32  # of the two-dimensional blocks
_SEGMENT = 100  # frames


class CamPlusPlus(nn.Module):
    """Log mel bands with their mean over time taken off -> embedding.

    Args:
        bands: M, a multiple of 8.
        embedding_dim: E.
    """

    def __init__(self, bands: int = 80, embedding_dim: int = 192) -> None:
        super().__init__()
        self.head = _Head()
        channels = _CHANNELS
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["tdnn"] = _Strided(_PLANES * bands // 8, channels)
        for number, (layers, dilation) in enumerate(_BLOCKS, 1):
            parts[f"block{number}"] = _Block(channels, layers, dilation)
            channels += layers * _GROWTH
            parts[f"transit{number}"] = _Transit(channels, channels // 2)
            channels //= 2
        parts["out_nonlinear"] = _normalised(channels)
        parts["dense"] = _Dense(2 * channels, embedding_dim)
        self.xvector = nn.ModuleDict(parts)

    def forward(self, bands: Tensor) -> Tensor:
        """Bands [B, T, M] -> embedding [B, E]."""
        frames = self.xvector["tdnn"](self.head(bands.transpose(1, 2).unsqueeze(1)))
        segments = _Segments(frames.shape[2], frames.device)
        for number in range(1, len(_BLOCKS) + 1):
            frames = self.xvector[f"block{number}"](frames, segments)
            frames = self.xvector[f"transit{number}"](frames)
        frames = self.xvector["out_nonlinear"](frames)
        mean = frames.mean(dim=2, keepdim=True)
        centred = frames - mean
        count = max(frames.shape[2] - 1, 1)
        deviation = torch.sqrt((centred * centred).sum(dim=2, keepdim=True) / count)
        embedding: Tensor = self.xvector["dense"](torch.cat([mean, deviation], dim=1))
        return embedding


class _Segments:
    """Which segment a frame is in, and what averages the frames of each segment and of all.

    ``index`` int64 [F]; ``means`` [F, G]: the mean over the clip plus that over the segment.
    """

    def __init__(self, frames: int, device: torch.device) -> None:
        self.index = torch.arange(frames, device=device) // _SEGMENT
        inside = self.index.unsqueeze(1) == torch.arange(
            (frames - 1) // _SEGMENT + 1, device=device
        )
        self.means = 1 / frames + inside.float() / inside.sum(dim=0)


class _Head(nn.Module):
    """Residual convolutions over bands and frames, [B, 1, M, T] -> [B, C, T] (sec. 2.3)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, _PLANES, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_PLANES)
        self.layer1 = nn.Sequential(_Residual(2), _Residual(1))
        self.layer2 = nn.Sequential(_Residual(2), _Residual(1))
        self.conv2 = nn.Conv2d(_PLANES, _PLANES, 3, stride=(2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(_PLANES)

    def forward(self, image: Tensor) -> Tensor:
        image = self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(image)))))
        return torch.relu(self.bn2(self.conv2(image))).flatten(1, 2)


class _Residual(nn.Module):
    """Two convolutions beside a bypass; the stride is over the bands alone."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(_PLANES, _PLANES, 3, stride=(stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_PLANES)
        self.conv2 = nn.Conv2d(_PLANES, _PLANES, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(_PLANES)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(_PLANES, _PLANES, 1, stride=(stride, 1), bias=False),
                nn.BatchNorm2d(_PLANES),
            )

    def forward(self, image: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(image)))))
        return torch.relu(inner + self.shortcut(image))


class _Strided(nn.Module):
    """The first TDNN layer, which halves the frame rate: [B, C, T] -> [B, C, F]."""

    def __init__(self, channels: int, target: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(channels, target, 5, stride=2, padding=2, bias=False)
        self.nonlinear = _normalised(target)

    def forward(self, frames: Tensor) -> Tensor:
        rectified: Tensor = self.nonlinear(self.linear(frames))
        return rectified


class _Block(nn.Module):
    """Layers that each add ``_GROWTH`` channels to what they read (D-TDNN)."""

    def __init__(self, channels: int, layers: int, dilation: int) -> None:
        super().__init__()
        for number in range(layers):
            self.add_module(f"tdnnd{number + 1}", _Masked(channels + number * _GROWTH, dilation))

    def forward(self, frames: Tensor, segments: _Segments) -> Tensor:
        for layer in self.children():
            frames = torch.cat([frames, layer(frames, segments)], dim=1)
        return frames


class _Masked(nn.Module):
    """A bottleneck, and a dilated convolution times its context-aware mask (eq. 1 to 5)."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.nonlinear1 = _normalised(channels)
        self.linear1 = nn.Conv1d(channels, _BOTTLENECK, 1, bias=False)
        self.nonlinear2 = _normalised(_BOTTLENECK)
        self.cam_layer = nn.ModuleDict(
            {
                "linear_local": nn.Conv1d(
                    _BOTTLENECK, _GROWTH, 3, padding=dilation, dilation=dilation, bias=False
                ),
                "linear1": nn.Conv1d(_BOTTLENECK, _MASK, 1),
                "linear2": nn.Conv1d(_MASK, _GROWTH, 1),
            }
        )

    def forward(self, frames: Tensor, segments: _Segments) -> Tensor:
        inner = self.nonlinear2(self.linear1(self.nonlinear1(frames)))
        context = torch.relu(self.cam_layer["linear1"](inner @ segments.means))  # [B, 64, G]
        mask = torch.sigmoid(self.cam_layer["linear2"](context)).index_select(2, segments.index)
        masked: Tensor = self.cam_layer["linear_local"](inner) * mask
        return masked


class _Transit(nn.Module):
    """Halves the channels between two blocks."""

    def __init__(self, channels: int, target: int) -> None:
        super().__init__()
        self.nonlinear = _normalised(channels)
        self.linear = nn.Conv1d(channels, target, 1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        mixed: Tensor = self.linear(self.nonlinear(frames))
        return mixed


class _Dense(nn.Module):
    """Statistics [B, C, 1] -> embedding [B, E]."""

    def __init__(self, channels: int, embedding_dim: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(channels, embedding_dim, 1, bias=False)
        self.nonlinear = nn.Sequential(
            OrderedDict(batchnorm=nn.BatchNorm1d(embedding_dim, affine=False))
        )

    def forward(self, statistics: Tensor) -> Tensor:
        embedding: Tensor = self.nonlinear(self.linear(statistics).squeeze(2))
        return embedding


def _normalised(channels: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(channels), relu=nn.ReLU()))
