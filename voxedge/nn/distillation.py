"""The loss of a student that learns a teacher's embeddings.

Shapes: B batch, E embedding, N clips of the bank.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class DistillationTerms(NamedTuple):
    """The loss and its two parts, scalars."""

    total: Tensor
    cosine: Tensor  # detached
    similarity: Tensor  # detached


def distillation_loss(
    student: Tensor, teacher: Tensor, bank: Tensor, temperature: float, weight: float
) -> DistillationTerms:
    """Cosine distance to the teacher, and divergence of the similarities to other clips.

    The second part is KL(teacher, student) of the softmax over the cosines to the batch's own
    targets and the bank's, divided by the temperature (Fang et al. 2021, "SEED: self-supervised
    distillation for visual representation", eq. 3): it says who resembles whom, where the first
    part counts all directions alike.

    Args:
        student: embeddings [B, E] of any length.
        teacher: unit vectors [B, E], centred.
        bank: unit vectors [N, E], the teacher's, of other clips.
        temperature: above 0.
        weight: of the second part.
    """
    student = F.normalize(student, dim=1)
    cosine = (1 - (student * teacher).sum(dim=1)).mean()
    if not weight:
        return DistillationTerms(cosine, cosine.detach(), torch.zeros_like(cosine).detach())
    others = torch.cat([teacher, bank]).T / temperature
    wanted = F.log_softmax(teacher @ others, dim=1)
    found = F.log_softmax(student @ others, dim=1)
    similarity = F.kl_div(found, wanted, reduction="batchmean", log_target=True)
    return DistillationTerms(cosine + weight * similarity, cosine.detach(), similarity.detach())
