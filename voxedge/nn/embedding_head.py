"""From a given embedding to class logits: what is trained on top of a pretrained network.

Shapes: B batch, N windows, E embedding, K classes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from voxedge.nn.speaker_net import CosineHead

_SMALLEST = 1e-9  # variance of embeddings that do not vary
_TINY = 1e-12  # length that is not divided by


class EmbeddingNeck(nn.Module):
    """Features of any length -> unit length -> a linear map, which changes nothing yet.

    With features of unit length the map's weights are about 1, and so learn at the rate of others.

    Args:
        size: E, of the features and of what they are mapped to.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, size)
        nn.init.eye_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, E] -> embeddings [B, E]."""
        unit = features / features.norm(dim=1, keepdim=True).clamp(min=_TINY)
        embedding: Tensor = self.linear(unit)
        return embedding


class EmbeddingHead(nn.Module):
    """Embedding -> linear map -> logits.

    Args:
        head: mapped embedding -> logits.
        neck: the linear map, if it is there already.
    """

    def __init__(self, head: nn.Linear | CosineHead, neck: nn.Linear | None = None) -> None:
        super().__init__()
        self.neck = nn.Linear(head.in_features, head.in_features) if neck is None else neck
        self.head = head

    def forward(self, embedding: Tensor) -> Tensor:
        """Embeddings [B, E] -> logits [B, K]."""
        logits: Tensor = self.head(self.neck(embedding))
        return logits

    @torch.no_grad()
    def fit(
        self, vectors: npt.NDArray[np.float32], truth: npt.NDArray[np.int64], shrinkage: float
    ) -> None:
        """Begin with a linear discriminant analysis of embeddings [N, E] of the classes [N].

        The map takes off the mean and whitens what differs within classes (Fisher 1936; in speaker
        recognition within-class covariance normalisation, Hatch et al. 2006), such as noise and
        channel; its results have length 1 on average. The head's weights are the directions of the
        classes' means.

        Args:
            vectors: every class has one at least.
            truth: int64.
            shrinkage: 0 to 1: of the covariance within classes, towards a sphere (Friedman 1989,
                "Regularized discriminant analysis", eq. 18).
        """
        values = vectors.astype(np.float64)
        means = np.stack([values[truth == k].mean(axis=0) for k in range(truth.max() + 1)])
        inside, centre = values - means[truth], values.mean(axis=0)
        within = inside.T @ inside / len(values)
        sphere = max(float(np.trace(within)) / len(within), _SMALLEST) * np.eye(len(within))
        spread, axes = np.linalg.eigh((1 - shrinkage) * within + shrinkage * sphere)
        whitening = axes / np.sqrt(spread) @ axes.T
        whitening /= np.linalg.norm((values - centre) @ whitening, axis=1).mean()
        self.neck.weight.copy_(torch.from_numpy(whitening))
        self.neck.bias.copy_(torch.from_numpy(-whitening @ centre))
        directions = (means - centre) @ whitening
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        self.head.weight.copy_(torch.from_numpy(directions))
        if isinstance(self.head, nn.Linear):
            self.head.bias.zero_()


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
