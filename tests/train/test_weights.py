from __future__ import annotations

import pickle
import warnings

import pytest
import torch
import torchvision

from tests.train.recipes import small
from voxedge.errors import ModelError, RunError, UsageError
from voxedge.nn.trunks import TRUNKS
from voxedge.train.build import build_net, load_net
from voxedge.train.checkpoint import module_tensors, save_checkpoint
from voxedge.train.onnx_weights import Stored
from voxedge.train.recipe_sections import ModelRecipe
from voxedge.train.run import find_run
from voxedge.train.weights import build_trunk, refuse_other_images

TINY = small(model={"width": 1.0})


@pytest.fixture(scope="module")
def donor():
    return build_net(TINY, 5)


@pytest.fixture(scope="module")
def run(donor, tmp_path_factory):
    """A run folder, as far as weights go."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "recipe.toml").write_text(TINY.to_toml())
    state = {"recipe": TINY.to_dict()}
    save_checkpoint(folder / "best.safetensors", module_tensors("net", donor), state)
    return folder


def test_a_torchvision_file_without_batch_counters_loads(tmp_path):
    donor = torchvision.models.mobilenet_v3_small(weights=None)
    state = {k: v for k, v in donor.state_dict().items() if "num_batches" not in k}
    torch.save(state, tmp_path / "weights.pth")
    trunk, width = build_trunk(ModelRecipe("mobilenet_v3_small"), str(tmp_path / "weights.pth"))
    assert width == 576
    assert torch.equal(trunk.features[0][0].weight, donor.features[0][0].weight)


def test_a_run_or_its_checkpoint_gives_the_trunk_and_never_the_head(donor, run):
    for source in (run, run / "best.safetensors"):
        net = build_net(TINY, 7, init=str(source))
        assert len(net.head.weight) == 7
        taken, given = net.trunk.state_dict(), donor.trunk.state_dict()
        assert all(torch.equal(taken[key], given[key]) for key in given)


def test_the_layer_of_the_statistics_is_taken_over_if_it_fits(run, tmp_path):
    recipe = TINY.with_values({"model.statistics": True})
    donor = build_net(recipe, 5)
    state = {"recipe": recipe.to_dict()}
    save_checkpoint(tmp_path / "best.safetensors", module_tensors("net", donor), state)
    again = recipe.with_values({"training.seed": 1})
    kept = build_net(again, 7, init=str(tmp_path / "best.safetensors"))
    assert torch.equal(kept.bypass.linear.weight, donor.bypass.linear.weight)
    larger = again.with_values({"frontend.image_size": 64})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the run has no such layer: nothing is lost
        assert build_net(larger, 7, init=str(run)).bypass is not None
    with pytest.warns(UserWarning, match="their layer starts at random"):
        new = build_net(larger, 7, init=str(tmp_path / "best.safetensors"))
    assert new.bypass.linear.weight.shape != donor.bypass.linear.weight.shape


def test_the_trunk_is_found_under_any_prefix(donor, tmp_path):
    save_checkpoint(tmp_path / "last.safetensors", module_tensors("learned.net", donor), {})
    trunk, _ = build_trunk(ModelRecipe("resnet18"), str(tmp_path / "last.safetensors"))
    assert torch.equal(trunk.conv1.weight, donor.trunk.conv1.weight)


def test_another_trunk_is_refused(run, tmp_path):
    for other in (ModelRecipe("mobilenet_v3_small"), ModelRecipe("resnet18", width=0.5)):
        with pytest.raises(RunError, match="holds another trunk") as refused:
            build_trunk(other, str(run))
        changed = "trunk=resnet18" if other.trunk != "resnet18" else "width=1.0"
        assert refused.value.hint == f"--set model.{changed}"
    mobile, _ = TRUNKS["mobilenet_v3_small"](1.0)
    torch.save(mobile.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(RunError, match="does not hold the weights of a resnet18 of width 1"):
        build_trunk(ModelRecipe("resnet18"), str(tmp_path / "weights.pth"))


def test_a_frozen_trunk_needs_the_images_that_it_was_trained_on(run, model_path, workshop):
    own = find_run(workshop / "runs").recipe()
    for init, recipe in ((run, TINY), (run / "best.safetensors", TINY), (model_path, own)):
        same = recipe.with_values({"model.init": str(init), "training.frozen": 1.0})
        refuse_other_images(same)
        other = same.with_values({"frontend.normalise": "minmax"})
        with pytest.raises(UsageError, match=f"frontend.normalise={recipe.frontend.normalise}"):
            refuse_other_images(other)
    learning = TINY.with_values({"model.init": str(run), "frontend.normalise": "minmax"})
    refuse_other_images(learning)
    refuse_other_images(learning.with_values({"model.init": "random", "training.frozen": 1.0}))


def test_a_damaged_checkpoint_is_refused(run, tmp_path):
    data = bytearray((run / "best.safetensors").read_bytes())
    data[-100] ^= 1
    (tmp_path / "best.safetensors").write_bytes(data)
    with pytest.raises(RunError, match="damaged"):
        build_trunk(ModelRecipe("resnet18"), str(tmp_path / "best.safetensors"))


def test_a_model_file_gives_its_trunk_and_its_statistics(model_path, workshop):
    run = find_run(workshop / "runs")
    donor, recipe = load_net(run), run.recipe()
    net = build_net(recipe.with_values({"training.seed": 1}), 7, init=str(model_path)).eval()
    image = torch.rand(3, 1, recipe.frontend.image_size, recipe.frontend.image_size)
    with torch.no_grad():
        features, given = (n.trunk(image.expand(-1, 3, -1, -1)) for n in (net, donor))
        torch.testing.assert_close(features, given, rtol=1e-4, atol=1e-5)
        mapped, wanted = (
            n.bypass.linear(n.bypass.norm(n.bypass.figures(image))) for n in (net, donor)
        )
        torch.testing.assert_close(mapped, wanted, rtol=1e-2, atol=1e-2)  # kept in 16 bits
    assert net.head.in_features == donor.head.in_features
    assert not torch.equal(net.head.weight[:4], donor.head.weight[:4])


def test_a_model_file_of_another_trunk_or_a_missing_one_is_refused(model_path, tmp_path):
    with pytest.raises(RunError, match=r"model\.width is 0\.25, not 0\.5"):
        build_trunk(ModelRecipe("resnet18", width=0.5), str(model_path))
    with pytest.raises(UsageError, match="no file"):
        build_trunk(ModelRecipe("resnet18"), str(tmp_path / "model.onnx"))
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError):
        build_trunk(ModelRecipe("resnet18"), str(tmp_path / "model.onnx"))
    with pytest.raises(RunError, match="holds another trunk"):
        Stored(model_path, {}, {}, {}).trunk_state(TRUNKS["resnet18"](1.0)[0])


def test_code_in_a_pickle_never_runs(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    (tmp_path / "weights.pth").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(RunError, match="not a file of weights"):
        build_trunk(ModelRecipe("resnet18"), str(tmp_path / "weights.pth"))
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("resnet18", "resnet18-f37072fd.pth"),
        ("resnet34", "resnet34-b627a593.pth"),
        ("vgg11_bn", "vgg11_bn-6002323d.pth"),
        ("mobilenet_v3_small", "mobilenet_v3_small-047dcff4.pth"),
    ],
)
def test_imagenet_weights_without_a_network_name_the_file_to_pass(monkeypatch, name, file):
    def offline(*_args, **_kwargs):
        raise OSError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(UsageError, match=f"pass --init {file}"):
        build_trunk(ModelRecipe(name), "imagenet")


def test_imagenet_weights_have_the_full_width_only():
    with pytest.raises(UsageError, match=r"model\.init = imagenet needs model\.width = 1"):
        ModelRecipe(width=0.5, init="imagenet")


def test_unknown_trunks_missing_files_and_folders_without_a_run_are_refused(tmp_path):
    with pytest.raises(UsageError, match="resnet34"):
        build_trunk(ModelRecipe("resnet99"), "random")
    with pytest.raises(UsageError, match="no file"):
        build_trunk(ModelRecipe("resnet18"), "nowhere.pth")
    with pytest.raises(RunError, match="no run"):
        build_trunk(ModelRecipe("resnet18"), str(tmp_path))
