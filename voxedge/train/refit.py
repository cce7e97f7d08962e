"""Half a head in closed form: a linear discriminant beside the one that was trained.

A head that is trained together with the trunk ends where the training clips are told apart; a
discriminant also knows how the clips of one speaker differ, and weighs figures by that. On the
voice's statistics it is better on clean clips and in rooms, the trained head in noise. A second
discriminant, between clips as they are and copies in noise, says when to listen to which.

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
from voxedge.nn.speaker_net import CosineHead, Discriminant, SpeakerNet
from voxedge.train.evaluate import Scores

SHRINKAGES = (0.1, 0.3, 0.6, 0.9)  # to choose from by validation
SHARES = (0.2, 0.3, 0.5, 0.7)  # of the discriminant beside the head that was trained

_SPREAD = 3.0  # of a discriminant's logits, so that its temperature is within what is searched
_NOISE_SHRINKAGE = 0.1  # from 0.01 to 0.5 it does not matter: docs/experiments.md
_SMALLEST = 1e-6  # variance: speakers with one window each have none


def add_discriminant(
    net: SpeakerNet, train: Sequence[Scores], validation: Sequence[Scores]
) -> None:
    """Give the network a discriminant, if any blend with its head validates better.

    It learns speakers from clips as they are: from spoilt ones too it did worse
    (docs/experiments.md).

    Args:
        net: with a head of cosines, whose scale changes if it is blended.
        train: what it says of the training clips, and of copies in noise if it is to know noise.
        validation: what it says of other clips, in the same conditions.
    """
    head = net.head
    assert isinstance(head, CosineHead)  # the recipe sees to it
    own, most = temperature_of(validation), _right(validation)
    trained_scale, classes = head.scale, head.weight.shape[0]
    quiet = _noise_discriminant(train) if len(train) > 1 else None
    clean = train[0]
    for shrinkage in SHRINKAGES:
        linear = discriminant(_evidence(clean), clean.window_truth, classes, shrinkage)
        _scale(linear, _SPREAD / float(logits_of(linear, _evidence(clean)).std()))
        judged = [replace(s, logits=logits_of(linear, _evidence(s))) for s in validation]
        # both are calibrated, so that shares are shares: this one where it will be listened to
        _scale(linear, 1 / temperature_of(judged if quiet is None else judged[:1]))
        for share in SHARES:
            blend = _blend(linear, quiet, share)
            both = [
                replace(s, logits=_blended(blend, s.logits / own, _evidence(s))) for s in validation
            ]
            if _right(both) > most:
                most = _right(both)
                head.scale = trained_scale / own
                net.discriminant = blend.to(head.weight.device)


def _noise_discriminant(train: Sequence[Scores]) -> nn.Linear:
    """Evidence [N, F] -> log-odds [N, 1] that a clip is as it was, and not a copy in noise."""
    evidence = np.concatenate([_evidence(scores) for scores in train])
    noisy = np.repeat([min(1, i) for i in range(len(train))], [len(s.owners) for s in train])
    of_two = discriminant(evidence, noisy, 2, _NOISE_SHRINKAGE)
    odds = nn.Linear(evidence.shape[1], 1)
    with torch.no_grad():
        odds.weight.copy_(of_two.weight[:1] - of_two.weight[1:])
        odds.bias.copy_(of_two.bias[:1] - of_two.bias[1:])
    return odds


def _blend(linear: nn.Linear, quiet: nn.Linear | None, share: float) -> Discriminant:
    blend = Discriminant(linear.in_features, linear.out_features, share, quiet is not None)
    blend.linear = copy.deepcopy(linear)
    if quiet is not None:
        blend.quiet = copy.deepcopy(quiet)
    return blend


def _blended(
    blend: Discriminant, logits: npt.NDArray[np.float32], evidence: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    with torch.inference_mode():
        mixed: npt.NDArray[np.float32] = blend(
            torch.from_numpy(logits).float(), torch.from_numpy(evidence)
        ).numpy()
        return mixed


def temperature_of(kinds: Sequence[Scores]) -> float:
    """Fitted on all of them: else confidence would be right for clean clips alone."""
    clips = len(kinds[0].truth)
    return fit_temperature(
        np.concatenate([scores.logits for scores in kinds]),
        np.concatenate([scores.truth for scores in kinds]),
        np.concatenate([scores.owners + clips * i for i, scores in enumerate(kinds)]),
    )


def modesty_of(whole: Scores, pieces: Scores, share: float) -> float:
    """The ``SpeakerNet.modesty`` that makes probabilities right for pieces of clips as well.

    Args:
        whole: what the network, without any, says of windows.
        pieces: and of what is left of these when they fill ``share`` of the window.
        share: above 0, below 1.
    """
    colder = temperature_of([whole]) / temperature_of([pieces])
    return min(1.0, max(0.0, math.log(colder) / math.log(share)))


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


def _scale(linear: nn.Linear, factor: float) -> None:
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.mul_(factor)


def _right(kinds: Sequence[Scores]) -> int:
    """Answers that are right; those for clips as they are, the first kind, count twice."""
    right = [int(top_k_hits(s.probabilities(1.0), s.truth, 1).sum()) for s in kinds]
    return right[0] + sum(right)
