from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from voxedge.nn.speaker_net import SpeakerNet
from voxedge.nn.trunks import TRUNKS, leave_out_stem_pool, pool_statistics
from voxedge.train.build import build_frontend
from voxedge.train.recipe_sections import FrontendRecipe


def weights(trunk):
    return sum(p.numel() for p in trunk.parameters())


@pytest.mark.parametrize("width", [1.0, 0.25])
@pytest.mark.parametrize("name", TRUNKS)
def test_every_trunk_learns_from_the_smallest_image(name, width):
    trunk, embedding_dim = TRUNKS[name](width)
    pixels = 32
    image = torch.randn(2, 1, pixels, pixels)
    frontend = build_frontend(FrontendRecipe(image_size=pixels))
    net = SpeakerNet(frontend, trunk, nn.Linear(embedding_dim, 3))
    logits, embedding = net.classify(image)
    assert embedding.shape == (2, embedding_dim)
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2])).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trunk.parameters())


@pytest.mark.parametrize("name", TRUNKS)
def test_half_the_channels_are_about_a_quarter_of_the_weights(name):
    whole, half = (weights(TRUNKS[name](width)[0]) for width in (1.0, 0.5))
    assert 0.2 < half / whole < 0.35


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_a_resnet_of_full_width_is_torchvisions_and_others_begin_alike(name):
    torch.manual_seed(0)
    trunk, _ = TRUNKS[name](1.0)
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, name)().state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in trunk.state_dict().items())
    half, embedding_dim = TRUNKS[name](0.5)
    assert embedding_dim == 256
    shapes = {key: value.shape for key, value in half.state_dict().items()}
    assert shapes.keys() == trunk.state_dict().keys()
    assert shapes["conv1.weight"] == (32, 3, 7, 7)
    spreads = [each.layer4[1].conv2.weight.std().item() for each in (trunk, half)]
    assert spreads[1] == pytest.approx(2**0.5 * spreads[0], rel=0.02)  # half of the fan


def test_vgg_is_torchvisions_without_its_classifier():
    with torch.device("meta"):
        whole = torchvision.models.vgg11_bn()
    names = {k: v.shape for k, v in whole.state_dict().items() if k.startswith("features.")}
    trunk, _ = TRUNKS["vgg11_bn"](1.0)
    assert {k: v.shape for k, v in trunk.state_dict().items()} == names


@pytest.mark.parametrize("stem_pool", [True, False])
@pytest.mark.parametrize(("rows", "columns"), [(32, 32), (80, 159), (65, 33)])
def test_statistics_pooling_keeps_the_rows_of_a_resnet(rows, columns, stem_pool):
    trunk, _ = TRUNKS["resnet18"](0.25)
    if not stem_pool:
        leave_out_stem_pool(trunk)
    assert pool_statistics(trunk, rows, 24) == 24
    embedding = trunk(torch.randn(2, 3, rows, columns))
    assert embedding.shape == (2, 24)
    embedding.square().sum().backward()
    assert all(p.grad is not None for p in trunk.parameters())
