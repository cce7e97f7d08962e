from __future__ import annotations

import torch

from voxedge.nn.pooling import StatisticsPooling


def test_means_and_deviations_over_time_of_each_channel_and_row():
    features = torch.randn(2, 3, 4, 50, dtype=torch.float64).float()
    pooled = StatisticsPooling()(features)
    assert pooled.shape == (2, 24)
    for batch in range(2):
        for channel in range(3):
            for row in range(4):
                own, at = features[batch, channel, row], channel * 4 + row
                torch.testing.assert_close(pooled[batch, at], own.mean())
                expected = own.std(unbiased=False)
                torch.testing.assert_close(pooled[batch, 12 + at], expected, rtol=1e-3, atol=1e-4)


def test_one_column_has_a_finite_gradient():
    features = torch.ones(1, 2, 3, 1, requires_grad=True)
    StatisticsPooling()(features).sum().backward()
    assert features.grad.isfinite().all()


def test_under_autocast_it_is_computed_in_float32():
    features = torch.full((1, 1, 1, 4), 300.0) + torch.tensor([0.0, 1.0, 2.0, 3.0])
    with torch.autocast("cpu", torch.bfloat16):
        pooled = StatisticsPooling()(features)
    torch.testing.assert_close(pooled, torch.tensor([[301.5, 1.25**0.5]]), rtol=1e-4, atol=1e-4)
