"""What moves the network and the centers, and how fast at each point of training."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from voxedge.train.recipe import OptimizerRecipe

_WARM_UP = 0.1  # of all steps, for the cosine schedule


def build_optimizer(recipe: OptimizerRecipe, net: nn.Module) -> torch.optim.Optimizer:
    """The network's optimiser; batch norms and biases do not decay."""
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


def build_center_optimizer(
    recipe: OptimizerRecipe, centers: nn.Module | None
) -> torch.optim.Optimizer | None:
    """The optimiser of the centers, if there are any."""
    if centers is None:
        return None
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adagrad": torch.optim.Adagrad,
        "adam": torch.optim.Adam,
        "sgd": torch.optim.SGD,
    }
    return kinds[recipe.center_optimizer](centers.parameters(), lr=recipe.center_learning_rate)


def learning_rate(recipe: OptimizerRecipe, progress: float, epoch: int) -> float:
    """The rate at a point of training: a function of the position, so that it needs no state.

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
