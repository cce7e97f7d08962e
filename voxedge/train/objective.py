"""What training minimises: a classification loss, over auxiliary heads too, and the center loss.

Shapes: B batch, E embedding, K classes (one for each speaker at each playback speed).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voxedge.nn.losses import ContrastiveCenterLoss, margin_at, with_margin
from voxedge.train.recipe_sections import LossRecipe


class Losses(NamedTuple):
    """The loss of a batch, and what the history shows of it."""

    total: Tensor  # scalar
    logged: dict[str, Tensor]  # scalars by the column of history.csv, means over the batch


class Objective:
    """Embeddings and their classes -> loss.

    Args:
        recipe: which losses there are, and their weights.
        heads: each for some of the K classes, in order.
        parts: the dimensions of the embedding that each auxiliary head classifies by.
        centers: the center loss, if the recipe has one.
    """

    def __init__(
        self,
        recipe: LossRecipe,
        heads: Sequence[nn.Module],
        parts: Sequence[slice],
        centers: ContrastiveCenterLoss | None,
    ) -> None:
        self.recipe = recipe
        self.heads = heads
        self.parts = parts
        self.centers = centers

    def __call__(self, embedding: Tensor, labels: Tensor, progress: float) -> Losses:
        """Return the loss of embeddings [B, E] of the classes int64 [B].

        Args:
            embedding: float32.
            labels: see above.
            progress: fraction of the training that is done.
        """
        margin = margin_at(self.recipe.margin, progress)
        logits = self._logits(embedding)
        loss = self._cross_entropy(logits, labels, margin)
        if self.recipe.auxiliary_heads:
            auxiliary = [self._logits(embedding, part) for part in self.parts]
            losses = [self._cross_entropy(each, labels, margin) for each in auxiliary]
            loss = (loss + sum(losses)) / (1 + len(losses))
        total, logged = loss, {"train_loss": loss}
        if self.centers is not None:
            terms = self.centers(embedding, labels)
            total = loss + self._center_weight(progress) * terms.loss
            logged |= {"center_loss": terms.loss, "intra": terms.intra, "inter": terms.inter}
        logged["train_top1"] = (logits.argmax(dim=1) == labels).float().mean()
        return Losses(total, logged)

    def _logits(self, embedding: Tensor, *part: slice) -> Tensor:
        """Logits [B, K], by all dimensions of the embedding or by a part of them."""
        return torch.cat([head(embedding, *part) for head in self.heads], dim=1)

    def _cross_entropy(self, logits: Tensor, labels: Tensor, margin: float) -> Tensor:
        if self.recipe.head == "cosine":
            logits = with_margin(logits, labels, self.recipe.scale, margin)
        return F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)

    def _center_weight(self, progress: float) -> float:
        warm_up = self.recipe.center_warm_up
        return self.recipe.center_weight * min(1.0, progress / warm_up if warm_up else 1.0)
