"""From a given embedding to class logits: what is trained on top of a pretrained network.

Shapes: B batch, E embedding, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from voxedge.nn.speaker_net import CosineHead


class EmbeddingHead(nn.Module):
    """Unit embedding -> batch norm -> logits.

    Embeddings of a pretrained network share a large mean, and some of their dimensions vary little.
    Batch normalisation takes off both before angles are compared.

    Args:
        head: normalised embedding -> logits.
    """

    def __init__(self, head: nn.Linear | CosineHead) -> None:
        super().__init__()
        self.neck = nn.BatchNorm1d(head.in_features)
        self.head = head

    def forward(self, embedding: Tensor) -> Tensor:
        """Unit embeddings [B, E] -> logits [B, K]."""
        logits: Tensor = self.head(self.neck(embedding))
        return logits


class CalibratedHead(nn.Module):
    """A head that is trained, as the model file has it: with probabilities.

    Args:
        net: see there.
        temperature: the logits are divided by it before the softmax.
    """

    def __init__(self, net: EmbeddingHead, temperature: float) -> None:
        super().__init__()
        self.net = net
        self.temperature = temperature

    def forward(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Unit embeddings [B, E] -> logits and probabilities [B, K]."""
        logits = self.net(embedding)
        return logits, torch.softmax(logits / self.temperature, dim=1)
