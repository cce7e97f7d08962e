"""Losses that make classes compact and separate: the angular margin and the center loss.

The contrastive-center loss pulls an embedding to the learned center of its class and away from the
other centers (Qi and Su 2017, "Contrastive-center loss for deep neural networks").

Shapes: B batch, E embedding, K classes.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CenterForm: TypeAlias = Literal["paper", "seed", "split"]

_MARGIN_STARTS, _MARGIN_FULL = 0.3, 0.6  # fractions of the training
_SEED_EPSILON = 1e-6
_SEED_SCALE = 0.1


def margin_at(margin: float, progress: float) -> float:
    """Margin at a point of training: none at first, as it keeps an untrained network from learning.

    Args:
        margin: the full margin, radians.
        progress: fraction of all steps done.
    """
    risen = (progress - _MARGIN_STARTS) / (_MARGIN_FULL - _MARGIN_STARTS)
    return margin * min(1.0, max(0.0, risen))


def with_margin(logits: Tensor, labels: Tensor, scale: float, margin: float) -> Tensor:
    """Add an angular margin to the true class: ``s cos(theta + m)`` (Deng et al. 2019, "ArcFace").

    Beyond a half-turn, where eq. 3 would rise again, it is ``s (cos(theta) - m sin(m))`` as in the
    authors' code.

    Args:
        logits: scaled cosines [B, K].
        labels: true classes, int64 [B].
        scale: s.
        margin: m, radians.
    """
    own = logits.gather(1, labels.unsqueeze(1)) / scale
    angle = torch.acos(own.clamp(-1 + 1e-6, 1 - 1e-6))
    widened = torch.where(
        angle + margin < math.pi, torch.cos(angle + margin), own - margin * math.sin(margin)
    )
    return logits.scatter(1, labels.unsqueeze(1), scale * widened)


class CenterTerms(NamedTuple):
    """The center loss and its two distances."""

    loss: Tensor  # scalar
    intra: Tensor  # scalar: mean squared distance to the own center, detached
    inter: Tensor  # scalar: mean squared distance to the other centers, detached


class ContrastiveCenterLoss(nn.Module):
    """Learned centers [K, E], and the loss in one of three forms.

    - ``paper``: ``1/2 sum_i ||x_i - c_yi||^2 / (sum_{j != yi} ||x_i - c_j||^2 + delta)`` (eq. 6).
    - ``seed``: the ratio of the batch's sums, ``(1 / 2B) intra / (inter + 1e-6) / 0.1``, as the
      seed system computes it; about 2e-4 for 200 classes, so it does next to nothing.
    - ``split``: two terms with their own weights, each a mean over the batch:
      ``intra_weight / 2 * ||x_i - c_yi||^2`` and ``inter_weight / (d_i + delta)``, where ``d_i`` is
      the mean of ``||x_i - c_j||^2`` over j != yi; the inverse keeps the second term bounded.

    Args:
        classes: K.
        embedding_dim: E.
        form: see above.
        delta: keeps the ratio finite.
        intra_weight: of the split form.
        inter_weight: of the split form.
        unit: whether embeddings and centers are normalised to unit length first, so that distances
            are angles and classes cannot be separated by growing.
    """

    def __init__(
        self,
        classes: int,
        embedding_dim: int,
        form: CenterForm = "paper",
        delta: float = 1.0,
        intra_weight: float = 1.0,
        inter_weight: float = 1.0,
        unit: bool = False,
    ) -> None:
        super().__init__()
        self.form = form
        self.delta = delta
        self.intra_weight = intra_weight
        self.inter_weight = inter_weight
        self.unit = unit
        self.centers = nn.Parameter(torch.randn(classes, embedding_dim))

    def forward(self, embedding: Tensor, labels: Tensor) -> CenterTerms:
        """Embeddings [B, E] and classes int64 [B] -> the loss and its two distances."""
        centers: Tensor = self.centers
        if self.unit:
            embedding, centers = F.normalize(embedding), F.normalize(centers)
        # Explicit differences: the expanded square rounds small distances away.
        distances = torch.cdist(embedding, centers, compute_mode="donot_use_mm_for_euclid_dist")
        squares = distances.square()
        own = squares.gather(1, labels.unsqueeze(1)).squeeze(1)
        others = squares.sum(dim=1) - own
        batch, classes = squares.shape
        if self.form == "paper":
            loss = 0.5 * (own / (others + self.delta)).sum()
        elif self.form == "seed":
            loss = own.sum() / (others.sum() + _SEED_EPSILON) / (2 * batch) / _SEED_SCALE
        else:
            mean_other = others / (classes - 1)
            loss = 0.5 * self.intra_weight * own.mean()
            loss = loss + self.inter_weight * (1 / (mean_other + self.delta)).mean()
        return CenterTerms(loss, own.detach().mean(), others.detach().mean() / (classes - 1))
