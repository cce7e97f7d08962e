"""How long a trunk with weights of an earlier training is frozen."""

from __future__ import annotations

import pytest

from tests.train.test_loop import TINY
from voxedge.data.split import Split
from voxedge.errors import UsageError
from voxedge.train import prepare
from voxedge.train.prepare import with_frozen_share
from voxedge.train.recipe import Recipe


def split_of(clips: int) -> Split:
    sides = {f"{n}.wav": "train" for n in range(clips)}
    return Split({**sides, "v.wav": "validation", "t.wav": "test"}, by_session=0, by_utterance=1)


@pytest.fixture(autouse=True)
def checked(monkeypatch):
    """The recipes whose images are compared with those that the trunk was trained on."""
    recipes = []
    monkeypatch.setattr(prepare, "refuse_other_images", recipes.append)
    return recipes


@pytest.mark.parametrize(
    ("clips", "share"), [(1, 1.0), (299, 1.0), (300, 0.2), (1_999, 0.2), (2_000, 0.0)]
)
def test_fewer_clips_freeze_the_trunk_for_longer(clips, share, checked):
    recipe = TINY.with_values({"training.frozen": -1.0, "model.init": "runs/latest"})
    decided = with_frozen_share(recipe, split_of(clips))
    assert decided.training.frozen == share
    assert checked == [decided]


@pytest.mark.parametrize("clips", [1, 2_000])
def test_the_trunk_of_a_model_file_is_always_frozen(clips):
    recipe = TINY.with_values({"training.frozen": -1.0, "model.init": "model.onnx"})
    assert with_frozen_share(recipe, split_of(clips)).training.frozen == 1
    with pytest.raises(UsageError, match="it has no norms"):
        recipe.with_values({"training.frozen": 0.5})


@pytest.mark.parametrize("init", ["random", "imagenet"])
def test_a_trunk_without_an_earlier_training_is_not_frozen(init):
    recipe = Recipe().with_values({"training.frozen": -1.0, "model.init": init})
    assert with_frozen_share(recipe, split_of(10)).training.frozen == 0


@pytest.mark.parametrize("share", [0.0, 0.7])
def test_a_share_in_the_recipe_is_kept(share, checked):
    recipe = TINY.with_values({"training.frozen": share, "model.init": "runs/latest"})
    assert with_frozen_share(recipe, split_of(10)) == recipe
    assert checked == [recipe]
