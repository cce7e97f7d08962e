"""Half a head in closed form: the linear discriminant on the embeddings of the training clips.

A head that is trained together with the trunk ends where the training clips are told apart; the
discriminant also knows how the clips of one speaker differ, and weighs directions by that. It is
better on clean clips, the trained head on noisy ones, and the two together on both.

Shapes: N windows, E embedding, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from voxedge.metrics import fit_temperature, top_k_hits
from voxedge.nn.speaker_net import BlendedHead, CosineHead
from voxedge.train.evaluate import Scores

SHRINKAGES = (0.1, 0.3, 0.6, 0.9)  # to choose from by validation
SHARES = (0.3, 0.5, 0.7)  # of the discriminant beside the head that was trained

_SMALLEST = 1e-6  # variance: speakers with one window each have none


def blended(
    cosine: CosineHead, train: Scores, validation: Sequence[Scores]
) -> tuple[CosineHead | BlendedHead, list[Scores]]:
    """The head with a linear discriminant beside it, if any such blend validates better.

    It learns from clips as they are: from spoilt ones too it did worse (docs/experiments.md).

    Args:
        cosine: as it was trained; its scale changes if it is blended.
        train: what it says of the training clips.
        validation: what it says of other clips, in one or more conditions.

    Returns:
        The head, and what it says of the validation clips.
    """
    head: CosineHead | BlendedHead = cosine
    found, own, trained_scale = list(validation), temperature_of(validation), cosine.scale
    classes = cosine.weight.shape[0]
    for shrinkage, share in product(SHRINKAGES, SHARES):
        linear = discriminant_head(train.embeddings, train.window_truth, classes, shrinkage)
        other = temperature_of(_judged(linear, validation))
        with torch.no_grad():  # both calibrated, so that shares are shares
            for parameter in linear.parameters():
                parameter.mul_(share / other)
        ours = [(1 - share) / own * scores.logits for scores in validation]
        theirs = [scores.logits for scores in _judged(linear, validation)]
        judged = [
            replace(scores, logits=a + b)
            for scores, a, b in zip(validation, ours, theirs, strict=True)
        ]
        if _right(judged) > _right(found):
            found = judged
            cosine.scale = trained_scale * (1 - share) / own
            head = BlendedHead(cosine, linear.to(cosine.weight.device))
    return head, found


def temperature_of(kinds: Sequence[Scores]) -> float:
    """Fitted on spoilt copies as well: else confidence would be right for clean clips alone."""
    clips = len(kinds[0].truth)
    return fit_temperature(
        np.concatenate([scores.logits for scores in kinds]),
        np.concatenate([scores.truth for scores in kinds]),
        np.concatenate([scores.owners + clips * i for i, scores in enumerate(kinds)]),
    )


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


def _judged(head: nn.Linear, kinds: Sequence[Scores]) -> list[Scores]:
    """The same clips by another head."""
    return [replace(scores, logits=logits_of(head, scores.embeddings)) for scores in kinds]


def _right(kinds: Sequence[Scores]) -> int:
    """Clips that are answered right."""
    return sum(int(top_k_hits(s.probabilities(1.0), s.truth, 1).sum()) for s in kinds)
