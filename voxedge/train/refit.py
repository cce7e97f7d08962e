"""Half a head in closed form: the linear discriminant on the embeddings of the training clips.

A head that is trained together with the trunk ends where the training clips are told apart; the
discriminant also knows how the clips of one speaker differ, and weighs directions by that. It is
better on clean clips, the trained head on noisy ones, and the two together on both.

Shapes: N windows, E embedding, K classes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

SHRINKAGES = (0.1, 0.3, 0.6, 0.9)  # to choose from by validation
SHARES = (0.3, 0.5, 0.7)  # of the discriminant beside the head that was trained

_SMALLEST = 1e-6  # variance: speakers with one window each have none


def discriminant_head(
    embeddings: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    classes: int,
    shrinkage: float,
) -> nn.Linear:
    """The linear discriminant (Fisher 1936) as a layer.

    Args:
        embeddings: [N, E].
        labels: [N]; every class has a window at least.
        classes: K.
        shrinkage: 0 to 1: of the covariance within classes, towards a sphere (Friedman 1989,
            "Regularized discriminant analysis", eq. 18).
    """
    values = embeddings.astype(np.float64)
    means = np.stack([values[labels == k].mean(axis=0) for k in range(classes)])
    within = values - means[labels]
    covariance = (1 - shrinkage) * (within.T @ within) / len(values)
    sphere = max(float(np.square(within).mean()), _SMALLEST) * np.eye(values.shape[1])
    covariance += shrinkage * sphere
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
