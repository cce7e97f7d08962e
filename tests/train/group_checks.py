"""What ``test_distributed`` checks within a group of two processes that torchrun starts.

Each process makes all checks; an assertion that does not hold ends the program with an error.
"""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests.train.recipes import small
from voxedge.errors import RunError, TrainingError
from voxedge.train.build import build_center_loss, build_net
from voxedge.train.device import Compute
from voxedge.train.fabric import FabricGroup
from voxedge.train.learner import Learner
from voxedge.train.objective import Objective
from voxedge.train.process_group import ALONE, FirstProcessEnded, ProcessGroup


def learner(form: str, group: ProcessGroup) -> Learner:
    """Of a network whose batch norms normalise by running statistics: rows do not see others."""
    recipe = small(
        model={"statistics": True}, loss={"center": form, "auxiliary_heads": True, "margin": 0.2}
    )
    net = build_net(recipe, 4).eval()
    centers = build_center_loss(recipe.loss, 4, net.head.in_features)
    state = SimpleNamespace(net=net, learned=nn.ModuleDict({"net": net}), centers=centers)
    objective = Objective(recipe.loss, [net.head], net.parts, centers)
    return Learner(state, objective, Compute(torch.device("cpu"), False, 0, group))


def check_gradients(group: FabricGroup) -> None:
    """The gradients of two halves of a batch are those of the batch."""
    random = torch.Generator().manual_seed(1)
    image = torch.randn(8, 1, 32, 32, generator=random)
    labels = torch.arange(8) % 4
    mine = slice(4 * group.rank, 4 * group.rank + 4)
    for form in ("paper", "seed", "split"):  # sums, a ratio of sums, means
        alone, shared = learner(form, ALONE), learner(form, group)
        loss = alone(image, labels, 0.7).total
        loss.backward()
        wrapped = group.wrap(shared)
        losses = wrapped(image[mine], labels[mine], 0.7)
        group.backward(losses.total)
        torch.testing.assert_close(losses.total, loss)
        pairs = zip(alone.named_parameters(), shared.named_parameters(), strict=True)
        for (name, one), (_, other) in pairs:
            assert one.grad is not None, name
            assert one.grad.abs().max() > 0, name
            scale = float(one.grad.abs().max())
            torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-4 * scale)


def check_exchange(group: FabricGroup) -> None:
    """Means, the largest, and what the first process has."""
    statistics = [torch.full((3,), float(group.rank)), torch.full((2, 2), 2.0 * group.rank)]
    group.average(statistics)
    assert [each.flatten().tolist() for each in statistics] == [[0.5] * 3, [1.0] * 4]
    assert group.largest(7 * group.rank) == 7
    linear = nn.Linear(2, 2)
    with torch.no_grad():
        linear.weight.fill_(group.rank)
    group.share([linear])
    assert not linear.weight.any()
    assert (group.on_first(os.getpid) == os.getpid()) == group.first


def check_failures(group: FabricGroup) -> None:
    """All processes end where one has failed, and the first says why."""

    def fail() -> None:
        raise RunError("damaged")

    def together(*failing: int) -> None:
        with group.agreed():
            if group.rank in failing:
                fail()

    for expected, action in (
        ("damaged", lambda: group.on_first(fail)),
        ("damaged", lambda: together(0, 1)),
        ("damaged", lambda: together(0)),
        ("process 1: damaged", lambda: together(1)),
    ):
        if group.first:
            with pytest.raises((RunError, TrainingError), match=f"^{expected}"):
                action()
        else:
            with pytest.raises(FirstProcessEnded):
                action()
    with group.agreed():
        pass


if __name__ == "__main__":
    torch.set_num_threads(1)
    pair = FabricGroup(2, "cpu", torchrun=True)
    check_exchange(pair)
    check_failures(pair)
    check_gradients(pair)
