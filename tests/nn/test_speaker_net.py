from __future__ import annotations

import pickle

import pytest
import torch
import torchvision

from voxedge.errors import RunError, UsageError
from voxedge.nn.augment import spec_augment
from voxedge.nn.speaker_net import ExportedNet, build_trunk
from voxedge.train.build import build_net
from voxedge.train.checkpoint import module_tensors, save_checkpoint
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


def test_init_takes_a_torchvision_file(tmp_path):
    donor = torchvision.models.resnet18(weights=None)
    torch.save(donor.state_dict(), tmp_path / "weights.pth")
    trunk, width = build_trunk("resnet18", str(tmp_path / "weights.pth"))
    assert width == 512
    assert torch.equal(trunk.conv1.weight, donor.conv1.weight)


def test_init_takes_a_checkpoint_of_ours(tmp_path):
    donor = build_net(TINY, 5)
    save_checkpoint(tmp_path / "best.safetensors", module_tensors("net", donor), {})
    trunk, _ = build_trunk("resnet18", str(tmp_path / "best.safetensors"))
    assert torch.equal(trunk.conv1.weight, donor.trunk.conv1.weight)


def test_init_refuses_another_architecture(tmp_path):
    torch.save(torchvision.models.resnet34(weights=None).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(RunError, match="does not hold the weights of a resnet18"):
        build_trunk("resnet18", str(tmp_path / "weights.pth"))


def test_init_never_runs_a_pickles_code(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    (tmp_path / "weights.pth").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(RunError, match="not a file of weights"):
        build_trunk("resnet18", str(tmp_path / "weights.pth"))
    assert not (tmp_path / "harm").exists()


def test_init_imagenet_without_a_network_says_what_to_bring(monkeypatch):
    def offline(*_args, **_kwargs):
        raise OSError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(UsageError, match=r"resnet18-f37072fd\.pth"):
        build_trunk("resnet18", "imagenet")


def test_unknown_trunks_and_missing_files_are_refused():
    with pytest.raises(UsageError, match="resnet18"):
        build_trunk("resnet99", "random")
    with pytest.raises(UsageError, match="no file"):
        build_trunk("resnet18", "nowhere.pth")


def test_spec_augment_blanks_one_band_and_one_stretch():
    image = torch.randn(8, 1, 40, 40)
    masked = spec_augment(image, 0.3, 0.4, torch.Generator().manual_seed(3))
    again = spec_augment(image, 0.3, 0.4, torch.Generator().manual_seed(3))
    assert torch.equal(masked, again)
    changed = masked != image
    for one in changed[:, 0]:
        rows, columns = one.all(dim=1).sum(), one.all(dim=0).sum()
        assert rows <= 10
        assert columns <= 12
        assert one.sum() == 40 * rows + 40 * columns - rows * columns
    assert changed.any()
    assert torch.equal(spec_augment(image, 0, 0, torch.Generator()), image)
