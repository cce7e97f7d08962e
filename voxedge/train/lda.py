"""Half a head in closed form: a linear discriminant beside the one that was trained.

A head that is trained together with the trunk ends where the training clips are told apart; a
discriminant also knows how the clips of one speaker differ, and weighs figures by that. On the
voice's statistics it is better on clean clips and, since it also learns from segments of clips and
from copies in rooms, on short ones and in rooms; the trained head is better in noise and over
telephones. A second one learns from copies in noise and over channels, and from the segments. A
third tells what the first learned from and what the second did, and so how much to listen to each.

Shapes: N windows, F figures of the evidence, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from voxedge.inference.scoring import LabelledScores
from voxedge.metrics import top_k_hits
from voxedge.nn.speaker_net import CosineHead, Discriminant, SpeakerNet
from voxedge.train.moments import Moments
from voxedge.train.temperature import fit_temperature

SHRINKAGES = (0.1, 0.3, 0.6, 0.9)  # to choose from by validation
SHARES = (0.2, 0.3, 0.5, 0.7)  # of the discriminant beside the head that was trained

_SPREAD = 3.0  # of a discriminant's logits, so that its temperature is within what is searched
_KIND_SHRINKAGE = 0.1  # from 0.01 to 0.5 it does not matter: docs/experiments.md
_SMALLEST = 1e-6  # variance: speakers with one window each have none


@dataclass(frozen=True)
class Lessons:
    """What discriminants learn from: the training clips' evidence.

    Args:
        first: of the clips as they are and, each with a lower weight, of segments of every window
            and of copies in rooms.
        others: of copies in noise and over channels, and of the segments too, if there are any
            copies. One discriminant for all did worse (docs/experiments.md).
    """

    first: Moments
    others: Moments | None = None


def add_discriminant(
    net: SpeakerNet, lessons: Lessons, validation: Sequence[LabelledScores]
) -> None:
    """Give the network a discriminant, if any blend with its head validates better.

    Args:
        net: with a head of cosines, whose scale changes if it is blended.
        lessons: see there.
        validation: what it says of other clips, as they are and then, if there are copies to learn
            from, degraded in each of those ways.
    """
    head = net.head
    assert isinstance(head, CosineHead)  # the recipe sees to it
    own = temperature_of(validation)
    said = [replace(scores, logits=scores.logits / own) for scores in validation]
    clean, kinds = None, [(lessons.first, validation)]
    if lessons.others is not None:
        assert len(validation) > 1  # what is learned from copies is judged by copies
        clean = _first_or_other(lessons.first, lessons.others)
        kinds = [(lessons.first, validation[:1]), (lessons.others, validation[1:])]
    found, most = None, _right(said)
    maps: list[tuple[nn.Linear, float]] = []
    for moments, judged in kinds:
        best = None
        for shrinkage in SHRINKAGES:
            linear = _calibrated(moments, shrinkage, judged)
            for share in SHARES:
                blend = _blend([*maps, (linear, share)], clean)
                right = _right([_blended(blend, scores) for scores in said])
                if right > most:
                    best, most, found = (linear, share), right, blend
        if best is None:
            break
        maps.append(best)
    if found is not None:
        head.scale /= own
        net.discriminant = found.to(head.weight.device)


def _first_or_other(first: Moments, others: Moments) -> nn.Linear:
    """Evidence [N, F] -> log-odds [N, 1] that it is like the first moments, not the others."""
    of_two = discriminant(first.beside(others), _KIND_SHRINKAGE)
    odds = nn.Linear(of_two.in_features, 1)
    with torch.no_grad():
        odds.weight.copy_(of_two.weight[:1] - of_two.weight[1:])
        odds.bias.copy_(of_two.bias[:1] - of_two.bias[1:])
    return odds


def _calibrated(
    train: Moments, shrinkage: float, validation: Sequence[LabelledScores]
) -> nn.Linear:
    """A discriminant whose logits need no temperature on those clips."""
    linear = discriminant(train, shrinkage)
    scores = LabelledScores.concatenate(validation)
    evidence = _evidence(scores)
    _scale(linear, _SPREAD / float(logits_of(linear, evidence).std()))
    _scale(linear, 1 / temperature_of([replace(scores, logits=logits_of(linear, evidence))]))
    return linear


def _blend(maps: Sequence[tuple[nn.Linear, float]], clean: nn.Linear | None) -> Discriminant:
    linear, _ = maps[0]
    shares = [share for _, share in maps]
    blend = Discriminant(linear.in_features, linear.out_features, shares, clean is not None)
    blend.maps = nn.ModuleList(linear for linear, _ in maps)
    blend.clean = clean
    return blend


def _blended(blend: Discriminant, scores: LabelledScores) -> LabelledScores:
    with torch.inference_mode():
        logits = torch.from_numpy(scores.logits), torch.from_numpy(_evidence(scores))
        return replace(scores, logits=blend(*logits).numpy())


def temperature_of(kinds: Sequence[LabelledScores]) -> float:
    """Fitted on all of them: else confidence would be right for clean clips alone."""
    scores = LabelledScores.concatenate(kinds)
    return fit_temperature(scores.logits, scores.truth, scores.clip_index)


def duration_exponent_of(whole: LabelledScores, segments: LabelledScores, share: float) -> float:
    """The ``SpeakerNet.duration_exponent`` that makes probabilities right for segments as well.

    Args:
        whole: what the network, without any, says of windows.
        segments: and of what is left of these when they fill ``share`` of the window.
        share: above 0, below 1.
    """
    colder = temperature_of([whole]) / temperature_of([segments])
    return min(1.0, max(0.0, math.log(colder) / math.log(share)))


def discriminant(moments: Moments, shrinkage: float) -> nn.Linear:
    """The linear discriminant (Fisher 1936) as a layer, evidence [N, F] -> logits [N, K].

    Args:
        moments: every class has a window at least.
        shrinkage: 0 to 1: of the covariance within classes, towards a sphere (Friedman 1989,
            "Regularized discriminant analysis", eq. 18).
    """
    within, means = moments.covariance_within, moments.means
    sphere = max(float(np.trace(within)) / len(within), _SMALLEST) * np.eye(len(within))
    weight = np.linalg.solve((1 - shrinkage) * within + shrinkage * sphere, means.T).T
    bias = -0.5 * (weight * means).sum(axis=1)
    # What is the same for all classes changes no answer, and would only cost digits.
    weight, bias = weight - weight.mean(axis=0), bias - bias.mean()
    head = nn.Linear(weight.shape[1], len(weight))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.copy_(torch.from_numpy(bias))
    return head


def logits_of(linear: nn.Linear, evidence: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What a linear map says of evidence [N, F], [N, K]."""
    with torch.inference_mode():
        logits: npt.NDArray[np.float32] = linear(torch.from_numpy(evidence)).numpy()
        return logits


def _evidence(scores: LabelledScores) -> npt.NDArray[np.float32]:
    assert scores.evidence is not None
    return scores.evidence


def _scale(linear: nn.Linear, factor: float) -> None:
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.mul_(factor)


def _right(kinds: Sequence[LabelledScores]) -> float:
    """How often answers are right, summed over the kinds; clips as they are, the first, twice."""
    right = [float(top_k_hits(s.probabilities(1.0), s.truth, 1).mean()) for s in kinds]
    return round(right[0] + sum(right), 9)  # so that a tie is one
