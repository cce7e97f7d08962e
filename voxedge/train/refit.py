"""Half a head in closed form: a linear discriminant beside the one that was trained.

A head that is trained together with the trunk ends where the training clips are told apart; a
discriminant also knows how the clips of one speaker differ, and weighs figures by that. On the
voice's statistics it is better on clean clips, the trained head on noisy ones, and the two together
on both.

Shapes: N windows, F figures of the evidence, K classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from voxedge.metrics import fit_temperature, top_k_hits
from voxedge.nn.speaker_net import CosineHead, SpeakerNet
from voxedge.train.evaluate import Scores

SHRINKAGES = (0.1, 0.3, 0.6, 0.9)  # to choose from by validation
SHARES = (0.2, 0.3, 0.5, 0.7)  # of the discriminant beside the head that was trained

_SPREAD = 3.0  # of a discriminant's logits, so that its temperature is within what is searched
_SMALLEST = 1e-6  # variance: speakers with one window each have none


def add_discriminant(net: SpeakerNet, train: Scores, validation: Sequence[Scores]) -> list[Scores]:
    """Give the network a discriminant, if any blend with its head validates better.

    It learns from clips as they are: from spoilt ones too it did worse (docs/experiments.md).

    Args:
        net: with a head of cosines, whose scale changes if it is blended.
        train: what it says of the training clips.
        validation: what it says of other clips, in one or more conditions.

    Returns:
        What the network, as it is then, says of the validation clips.
    """
    head = net.head
    assert isinstance(head, CosineHead)  # the recipe sees to it
    found, own, trained_scale = list(validation), temperature_of(validation), head.scale
    classes = head.weight.shape[0]
    for shrinkage in SHRINKAGES:
        linear = discriminant(_evidence(train), train.window_truth, classes, shrinkage)
        linear = _scaled(linear, _SPREAD / float(logits_of(linear, _evidence(train)).std()))
        judged = [replace(s, logits=logits_of(linear, _evidence(s))) for s in validation]
        other = temperature_of(judged)
        for share in SHARES:  # both are calibrated, so that shares are shares
            both = [
                replace(s, logits=(1 - share) / own * s.logits + share / other * j.logits)
                for s, j in zip(validation, judged, strict=True)
            ]
            if _right(both) > _right(found):
                found = both
                head.scale = trained_scale * (1 - share) / own
                net.discriminant = _scaled(linear, share / other).to(head.weight.device)
    return found


def temperature_of(kinds: Sequence[Scores]) -> float:
    """Fitted on all of them: else confidence would be right for clean clips alone."""
    clips = len(kinds[0].truth)
    return fit_temperature(
        np.concatenate([scores.logits for scores in kinds]),
        np.concatenate([scores.truth for scores in kinds]),
        np.concatenate([scores.owners + clips * i for i, scores in enumerate(kinds)]),
    )


def modesty_of(pieces: Scores, temperature: float, share: float) -> float:
    """The ``SpeakerNet.modesty`` that makes probabilities right for pieces of clips as well.

    Args:
        pieces: what the network, without any, says of pieces that fill ``share`` of its window.
        temperature: of whole windows.
        share: above 0, below 1.
    """
    return min(1.0, max(0.0, math.log(temperature / temperature_of([pieces])) / math.log(share)))


def discriminant(
    evidence: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    classes: int,
    shrinkage: float,
) -> nn.Linear:
    """The linear discriminant (Fisher 1936) as a layer.

    Args:
        evidence: [N, F].
        labels: [N]; every class has a window at least.
        classes: K.
        shrinkage: 0 to 1: of the covariance within classes, towards a sphere (Friedman 1989,
            "Regularized discriminant analysis", eq. 18).
    """
    values = evidence.astype(np.float64)
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


def logits_of(linear: nn.Linear, evidence: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What a linear map says of evidence [N, F], [N, K]."""
    with torch.inference_mode():
        logits: npt.NDArray[np.float32] = linear(torch.from_numpy(evidence)).numpy()
        return logits


def _evidence(scores: Scores) -> npt.NDArray[np.float32]:
    assert scores.evidence is not None
    return scores.evidence


def _scaled(linear: nn.Linear, factor: float) -> nn.Linear:
    scaled = copy.deepcopy(linear)
    with torch.no_grad():
        for parameter in scaled.parameters():
            parameter.mul_(factor)
    return scaled


def _right(kinds: Sequence[Scores]) -> int:
    """Answers that are right; those for clips as they are, the first kind, count twice."""
    right = [int(top_k_hits(s.probabilities(1.0), s.truth, 1).sum()) for s in kinds]
    return right[0] + sum(right)
