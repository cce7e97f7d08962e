"""A head in closed form: the linear discriminant on the embeddings of the training clips.

A head that is trained together with the trunk ends where the training clips are told apart; the
discriminant also knows how the clips of one speaker differ, and weighs directions by that.

Shapes: N windows, E embedding, K classes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from sklearn.covariance import ledoit_wolf
from torch import nn


def discriminant_head(
    embeddings: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], classes: int
) -> nn.Linear:
    """The linear discriminant (Fisher 1936) as a layer.

    Its covariance is shrunk (Ledoit and Wolf 2004).

    Args:
        embeddings: [N, E].
        labels: [N]; every class has a window at least.
        classes: K.
    """
    values = embeddings.astype(np.float64)
    means = np.stack([values[labels == k].mean(axis=0) for k in range(classes)])
    covariance, _ = ledoit_wolf(values - means[labels], assume_centered=True)
    weight = np.linalg.solve(covariance, means.T).T
    bias = -0.5 * (weight * means).sum(axis=1)
    # What is the same for all classes changes no answer, and would only cost digits.
    weight, bias = weight - weight.mean(axis=0), bias - bias.mean()
    head = nn.Linear(values.shape[1], classes)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.copy_(torch.from_numpy(bias))
    return head


def logits_of(head: nn.Linear, embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What a head says of embeddings [N, E], [N, K]."""
    with torch.inference_mode():
        place = head.weight.device
        logits: npt.NDArray[np.float32] = head(torch.from_numpy(embeddings).to(place)).cpu().numpy()
        return logits
