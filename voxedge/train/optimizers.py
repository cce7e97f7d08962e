"""Optimisers of the network and of the centers, the learning rate, the average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel

from voxedge.train.recipe_sections import OptimizerRecipe

_WARM_UP = 0.1  # of all steps, for the cosine schedule
_AVERAGE_WARM_UP = 10  # steps


def build_optimizer(recipe: OptimizerRecipe, net: nn.Module) -> torch.optim.Optimizer:
    """Make the network's optimiser; batch norms and biases have no weight decay."""
    decay = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    groups = [
        {"params": decay, "weight_decay": recipe.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    if recipe.name == "sgd":
        return torch.optim.SGD(
            groups, recipe.learning_rate, recipe.beta1, nesterov=recipe.beta1 > 0
        )
    kind = torch.optim.Adam if recipe.name == "adam" else torch.optim.AdamW
    betas = (recipe.beta1, recipe.beta2)
    return kind(groups, recipe.learning_rate, betas, recipe.epsilon, fused=True)


def build_center_optimizer(recipe: OptimizerRecipe, centers: nn.Module) -> torch.optim.Optimizer:
    """Make the optimiser of the centers."""
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adagrad": torch.optim.Adagrad,
        "adam": torch.optim.Adam,
        "sgd": torch.optim.SGD,
    }
    return kinds[recipe.center_optimizer](centers.parameters(), lr=recipe.center_learning_rate)


def learning_rate(recipe: OptimizerRecipe, progress: float, epoch: int) -> float:
    """The learning rate at a point of training; it depends on nothing else, so it has no state.

    Args:
        recipe: ``step`` multiplies by gamma every ``step_size`` epochs; ``cosine`` warms up
            linearly over the first tenth and falls to zero (Loshchilov and Hutter 2017, eq. 5).
        progress: fraction of all steps done.
        epoch: epochs done.
    """
    if recipe.schedule == "step":
        return recipe.learning_rate * recipe.gamma ** (epoch // recipe.step_size)
    if recipe.schedule == "cosine":
        if progress < _WARM_UP:
            return recipe.learning_rate * (progress + 1e-3) / (_WARM_UP + 1e-3)
        falling = (progress - _WARM_UP) / (1 - _WARM_UP)
        return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * falling))
    return recipe.learning_rate


def build_average(net: nn.Module, decay: float) -> AveragedModel:
    """Make a running average of a network, which is often better than its latest weights.

    It is exponential, and averages batch statistics too (Polyak and Juditsky 1992).

    Args:
        net: with its initial weights, which are the first to be averaged.
        decay: of the average; it is smaller in the first steps, which forgets the initial weights.
    """

    def update(averages: PARAM_LIST, values: PARAM_LIST, averaged: Tensor | int) -> None:
        if not averages[0].is_floating_point():
            return  # counters of batch norms, which nothing reads
        count = int(averaged)
        kept = min(decay, count / (count + _AVERAGE_WARM_UP - 1))
        torch._foreach_lerp_(averages, values, 1 - kept)

    average = AveragedModel(net, multi_avg_fn=update, use_buffers=True)
    average.n_averaged += 1
    return average
