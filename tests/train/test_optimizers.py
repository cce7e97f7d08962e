from __future__ import annotations

import pytest
import torch
from torch import nn

from voxedge.train.optimizers import build_average, learning_rate
from voxedge.train.recipe_sections import OptimizerRecipe


def test_the_step_schedule_is_that_of_the_seed_system():
    recipe = OptimizerRecipe(learning_rate=1e-4, schedule="step", step_size=7, gamma=0.1)
    rates = [learning_rate(recipe, 0, epoch) for epoch in (0, 6, 7, 14)]
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-6])


def test_the_cosine_schedule_warms_up_and_ends_at_zero():
    recipe = OptimizerRecipe(learning_rate=1.0, schedule="cosine")
    rates = [learning_rate(recipe, p, 0) for p in (0.0, 0.05, 0.1, 0.55, 1.0)]
    assert rates == pytest.approx([0.0099, 0.505, 1.0, 0.5, 0.0], abs=1e-3)


def test_the_average_forgets_faster_in_its_first_steps():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = build_average(net, decay=0.5)
    weight, mean = net[0].weight.detach().clone(), net[1].running_mean.clone()
    for step in range(20):
        with torch.no_grad():
            net[0].weight.add_(torch.randn(4, 3))
        net(torch.randn(8, 3))
        average.update_parameters(net)
        kept = min(0.5, (1 + step) / (10 + step))
        weight = kept * weight + (1 - kept) * net[0].weight
        mean = kept * mean + (1 - kept) * net[1].running_mean
    torch.testing.assert_close(average.module[0].weight, weight)
    torch.testing.assert_close(average.module[1].running_mean, mean)
    assert average.module[1].num_batches_tracked == 0
