from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from voxedge.nn.convolution import Convolution, with_products
from voxedge.nn.trunks import TRUNKS

#: Channels in and out, a map's height and width, kernel, stride, padding: what a ResNet has.
SHAPES = [
    (8, 64, (5, 5), 3, 1, 1),
    (8, 64, (5, 3), 3, 2, 1),
    (8, 64, (10, 10), 1, 2, 0),
    (3, 64, (9, 7), (7, 3), (2, 1), (3, 1)),
    (8, 200, (6, 7), 3, (1, 2), 0),
]


def gradients(layer: nn.Conv2d, maps: torch.Tensor, told: torch.Tensor) -> list[torch.Tensor]:
    maps = maps.clone().requires_grad_()
    (layer(maps) * told).sum().backward()
    found = [maps.grad, layer.weight.grad]
    layer.weight.grad = None
    return found


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradients_are_those_of_the_plain_convolution(shape, layout):
    channels, made, size, kernel, stride, padding = shape
    torch.manual_seed(0)
    plain = nn.Conv2d(channels, made, kernel, stride, padding, bias=False)
    ours = Convolution.of(plain).to(memory_format=layout)
    maps = torch.randn(4, channels, *size).to(memory_format=layout)
    assert ours.is_product(maps)
    told = torch.randn_like(plain(maps))
    for own, theirs in zip(gradients(ours, maps, told), gradients(plain, maps, told), strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-4)


def test_the_parameters_are_the_very_same():
    plain = nn.Conv2d(4, 8, 3, bias=False)
    ours = Convolution.of(plain)
    assert ours.weight is plain.weight
    assert ours.state_dict().keys() == plain.state_dict().keys()
    assert isinstance(copy.deepcopy(ours), Convolution)


@pytest.mark.parametrize(
    "given",
    [
        {"bias": True},
        {"groups": 4},
        {"dilation": 2},
        {"padding": "same"},
    ],
)
def test_what_it_does_not_know_it_leaves_alone(given):
    layer = Convolution.of(nn.Conv2d(4, 64, 3, **({"bias": False, "padding": 1} | given)))
    maps = torch.randn(2, 4, 6, 6)
    assert not layer.is_product(maps)
    assert layer(maps).shape[1] == 64


def test_large_maps_frozen_weights_and_bfloat16_are_left_alone():
    layer = Convolution.of(nn.Conv2d(4, 16, 3, padding=1, bias=False))
    small, large = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 8, 8)
    assert layer.is_product(small)
    assert not layer.is_product(large)
    with torch.no_grad():
        assert not layer.is_product(small)
    with torch.autocast("cpu", torch.bfloat16):
        assert not layer.is_product(small)
    layer.requires_grad_(False)
    assert not layer.is_product(small)


def test_a_trunk_learns_the_same_and_answers_the_same():
    torch.manual_seed(0)
    plain, _ = TRUNKS["resnet18"](0.25)
    ours = copy.deepcopy(plain)
    with_products(ours)
    layers = [layer for layer in ours.modules() if isinstance(layer, nn.Conv2d)]
    assert all(isinstance(layer, Convolution) for layer in layers)
    image = torch.randn(4, 3, 32, 32)
    for trunk in (plain, ours):
        trunk(image).square().mean().backward()
    for name, own in ours.named_parameters():
        theirs = plain.get_parameter(name).grad
        torch.testing.assert_close(own.grad, theirs, rtol=1e-3, atol=1e-5)
    assert torch.equal(plain.eval()(image), ours.eval()(image))
