from __future__ import annotations

import pytest
import torch
import torchvision

from voxedge.nn.augment import spec_augment
from voxedge.nn.speaker_net import TRUNKS, ExportedNet, SpeakerNet
from voxedge.train.build import build_frontend, build_net
from voxedge.train.recipe import FrontendRecipe, Recipe

TINY = Recipe(frontend=FrontendRecipe(image_size=32, window_seconds=0.5))


def test_outputs_have_the_shapes_and_scales_of_the_contract():
    net = ExportedNet(build_net(TINY, 5), temperature=2.0).eval()
    logits, probabilities, embedding = net(torch.randn(3, 9000), torch.tensor([9000, 400, 8000]))
    assert logits.shape == probabilities.shape == (3, 5)
    assert embedding.shape == (3, 512)
    torch.testing.assert_close(probabilities, torch.softmax(logits / 2, dim=1))
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))


def test_the_seed_decides_the_first_weights():
    one, same = build_net(TINY, 5), build_net(TINY, 5)
    other = build_net(TINY.with_values({"training.seed": 1}), 5)
    assert torch.equal(one.head.weight, same.head.weight)
    assert not torch.equal(one.head.weight, other.head.weight)


@pytest.mark.parametrize("name", TRUNKS)
def test_every_trunk_learns_from_the_smallest_image(name):
    trunk, width = TRUNKS[name]()
    pixels = 32
    image = torch.randn(2, 1, pixels, pixels)
    net = SpeakerNet(build_frontend(FrontendRecipe(image_size=pixels)), trunk, width, 3)
    logits, embedding = net.classify(image)
    assert embedding.shape == (2, width)
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2])).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trunk.parameters())


def test_vgg_is_torchvisions_without_its_classifier():
    with torch.device("meta"):
        whole = torchvision.models.vgg11_bn()
    names = {k: v.shape for k, v in whole.state_dict().items() if k.startswith("features.")}
    trunk, _ = TRUNKS["vgg11_bn"]()
    assert {k: v.shape for k, v in trunk.state_dict().items()} == names


def test_spec_augment_blanks_one_band_and_one_stretch():
    image = torch.randn(8, 1, 40, 40)
    masked = spec_augment(image, 10, 12, torch.Generator().manual_seed(3))
    again = spec_augment(image, 10, 12, torch.Generator().manual_seed(3))
    assert torch.equal(masked, again)
    changed = masked != image
    for one in changed[:, 0]:
        rows, columns = one.all(dim=1).sum(), one.all(dim=0).sum()
        assert rows <= 10
        assert columns <= 12
        assert one.sum() == 40 * rows + 40 * columns - rows * columns
    assert changed.any()
    assert torch.equal(spec_augment(image, 0, 0, torch.Generator()), image)
