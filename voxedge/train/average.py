"""A running average of the weights: steadier than the last ones, and often better."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_WARM_UP = 10  # steps


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, decay: float, steps: int) -> None:
    """Move ``average`` towards ``net``, batch statistics included (Polyak and Juditsky 1992).

    Args:
        average: a copy of ``net``.
        net: after its latest step.
        decay: of the exponential average.
        steps: done before; early averages forget faster, so that the first weights are left behind.
    """
    kept = min(decay, (1 + steps) / (_WARM_UP + steps))
    torch._foreach_lerp_(_floats(average), _floats(net), 1 - kept)  # one call, not a hundred


def _floats(module: nn.Module) -> list[Tensor]:
    return [value for value in module.state_dict().values() if value.is_floating_point()]
