from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import replace

import pytest

from voxedge.errors import UsageError
from voxedge.train import recipe as recipes
from voxedge.train.recipe import Recipe

SEEDS = ["seed-baseline", "seed-ccl-adagrad", "seed-ccl-adam"]
SHIPPED = ["base", "default", "distill", "pretrained", *SEEDS]


def test_the_shipped_recipes_are_the_documented_ones():
    assert recipes.shipped_names() == [*SHIPPED, "voxceleb1", "voxceleb1-8gpu"]


@pytest.mark.parametrize("name", SHIPPED)
def test_toml_round_trip(name, tmp_path):
    recipe = recipes.load(name)
    assert recipe.name == name
    (tmp_path / "copy.toml").write_text(recipe.to_toml())
    assert recipes.load(str(tmp_path / "copy.toml")) == recipe
    assert Recipe.from_dict(tomllib.loads(recipe.to_toml())) == recipe


def test_the_seed_recipes_are_the_three_rows_of_the_seed_system():
    base, adagrad, adam = (recipes.load(name) for name in SEEDS)
    for recipe in (base, adagrad, adam):
        assert (recipe.training.batch_size, recipe.training.epochs) == (64, 20)
        assert (recipe.frontend.feature, recipe.frontend.n_mels) == ("seed", 40)
        assert (recipe.frontend.image_size, recipe.frontend.padding) == (224, "zero")
        optimizer = recipe.optimizer
        assert (optimizer.name, optimizer.learning_rate) == ("adam", 1e-4)
        assert (optimizer.beta1, optimizer.beta2, optimizer.epsilon) == (0.9, 0.98, 1e-9)
        assert recipe.model.init == "imagenet"
    assert (base.loss.center, base.optimizer.step_size) == ("none", 7)
    assert (adagrad.loss.center, adagrad.optimizer.step_size) == ("seed", 10)
    assert adagrad.optimizer.center_learning_rate == 1e-3
    assert (adam.loss.center_weight, adam.optimizer.center_learning_rate) == (0.55, 2e-3)


def test_the_recipes_of_voxceleb1_differ_in_the_size_of_a_step():
    one, eight = (recipes.load(name) for name in ("voxceleb1", "voxceleb1-8gpu"))
    same = {"training.batch_size": 2048, "optimizer.learning_rate": 0.0057}
    assert replace(one.with_values(same), name=eight.name) == eight
    assert eight.training.batch_size == 8 * one.training.batch_size
    rate = one.optimizer.learning_rate * 8**0.5
    assert eight.optimizer.learning_rate == pytest.approx(rate, rel=0.01)


def test_values_can_be_overridden_by_text():
    changes = recipes.parse_settings(
        ["loss.delta=2", "frontend.padding=zero", "model.init=a b.pth"]
    )
    recipe = recipes.load("default").with_values(changes)
    assert recipe.loss.delta == 2.0
    assert recipe.frontend.padding == "zero"
    assert recipe.model.init == "a b.pth"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("loss.delt=2", "loss.delt"),
        ("losses.delta=2", "losses.delta"),
        ("delta=2", "section.key=value"),
        ("training.epochs=0", "at least 1"),
        ("training.epochs=many", "int expected"),
        ("training.epochs=2.5", "int expected"),
        ("frontend.n_fft=400", "power of two"),
        ("frontend.win_length=1024", "win_length"),
        ("frontend.padding=mirror", "repeat, zero"),
        ("frontend.f_max=9000", "f_max"),
        ("loss.center=both", "none, paper, seed, split"),
        ("data.train_size=0.95", "at most 1"),
        ("optimizer.learning_rate=-1", "above 0"),
        ("optimizer.learning_rate=nan", "above 0"),
        ("training.batch_size=1", "at least 2"),
        pytest.param(f"loss.delta={'9' * 400}", "400 digits", id="400 digits"),
    ],
)
def test_impossible_values_are_refused(setting, message):
    with pytest.raises(UsageError, match=message):
        recipes.load("default").with_values(recipes.parse_settings([setting]))


def test_a_key_of_an_earlier_version_is_renamed():
    recipe = Recipe.from_dict({"loss": {"parts": False}})
    assert recipe == Recipe().with_values({"loss.auxiliary_heads": False})
    assert recipe == Recipe().with_values({"loss.parts": False})


def test_a_setting_needs_an_equals_sign():
    with pytest.raises(UsageError, match=r"section\.key=value"):
        recipes.parse_settings(["loss.delta"])


def test_unknown_recipes_and_broken_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match="seed-baseline"):
        recipes.load("defautl")
    (tmp_path / "broken.toml").write_text("name = ")
    with pytest.raises(UsageError, match="not valid TOML"):
        recipes.load(str(tmp_path / "broken.toml"))
    for text in ("a = " + "[" * 5_000, "a = " + "9" * 5_000):
        (tmp_path / "deep.toml").write_text(text)
        with pytest.raises(UsageError, match="not valid TOML"):
            recipes.load(str(tmp_path / "deep.toml"))
    (tmp_path / "odd.toml").write_text("training = 3")
    with pytest.raises(UsageError, match="must be a table"):
        recipes.load(str(tmp_path / "odd.toml"))


def test_a_recipe_is_refused_before_torch_is_loaded():
    code = (
        "import sys, voxedge.train.recipe as r; r.load('default'); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
