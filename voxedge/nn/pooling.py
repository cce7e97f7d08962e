"""Pooling of a trunk's feature maps over time.

Shapes: B batch, C channels, H rows (frequencies), T columns (times).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_VARIANCE_FLOOR = 1e-5  # the gradient of a root is infinite at 0


class StatisticsPooling(nn.Module):
    """Mean and standard deviation over time of each channel at each row: [B, C, H, T] -> [B, 2CH].

    Statistics pooling (Snyder et al. 2018, "X-vectors: robust DNN embeddings for speaker
    recognition", sec. 2.1) that keeps the rows apart, as the ResNets of speaker recognition do: the
    same pattern means another voice at another frequency. Computed in float32 under autocast.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Feature maps [B, C, H, T] -> [B, 2CH], the means first."""
        rows = features.float().flatten(1, 2)
        mean = rows.mean(dim=2, keepdim=True)
        centred = rows - mean
        variance = (centred * centred).mean(dim=2)
        return torch.cat([mean.squeeze(2), torch.sqrt(variance + _VARIANCE_FLOOR)], dim=1)
