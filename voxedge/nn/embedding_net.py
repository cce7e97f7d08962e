"""A network without classes: front end -> trunk -> embedding of unit length.

Shapes: B batch, S samples of a row, E embedding.
"""

from __future__ import annotations

from torch import Tensor, nn

from voxedge.nn.frontend import Frontend
from voxedge.nn.trunks import in_colour

_TINY = 1e-12  # length that is not divided by


class EmbeddingNet(nn.Module):
    """Raw samples -> embedding.

    Args:
        frontend: samples -> one-channel image.
        trunk: three-channel image -> embedding [B, E] of any length.
    """

    def __init__(self, frontend: Frontend, trunk: nn.Module) -> None:
        super().__init__()
        self.frontend = frontend
        self.trunk = trunk

    def forward(self, pcm: Tensor, lengths: Tensor) -> Tensor:
        """Samples [B, S], valid lengths int64 [B] -> unit vectors [B, E]."""
        image = self.frontend(pcm, lengths)
        embedding: Tensor = self.trunk(in_colour(image))
        unit: Tensor = embedding / embedding.norm(dim=1, keepdim=True).clamp(min=_TINY)
        return unit
