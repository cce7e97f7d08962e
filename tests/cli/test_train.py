"""How long a trunk that comes from elsewhere stays as it came."""

from __future__ import annotations

import pytest

from tests.train.test_loop import TINY
from voxedge.cli import train as command
from voxedge.cli.train import with_frozen_share
from voxedge.data.split import Split
from voxedge.errors import UsageError
from voxedge.train.recipe import Recipe


def made(clips: int) -> Split:
    sides = {f"{n}.wav": "train" for n in range(clips)}
    return Split({**sides, "v.wav": "validation", "t.wav": "test"}, by_session=0, by_utterance=1)


@pytest.fixture(autouse=True)
def held_against(monkeypatch):
    """The recipes whose images are held against those that their trunk knows."""
    recipes = []
    monkeypatch.setattr(command, "refuse_other_images", recipes.append)
    return recipes


@pytest.mark.parametrize(
    ("clips", "share"), [(1, 1.0), (299, 1.0), (300, 0.2), (1_999, 0.2), (2_000, 0.0)]
)
def test_the_less_there_is_to_learn_the_longer(clips, share, capsys, held_against):
    recipe = TINY.with_values({"training.frozen": -1.0, "model.init": "runs/latest"})
    decided = with_frozen_share(recipe, made(clips))
    assert decided.training.frozen == share
    assert held_against == [decided]
    said = capsys.readouterr().err
    assert ("it learns after 20% of the steps" in said) == (share == 0.2)
    assert ("it stays as it is" in said) == (share == 1)


@pytest.mark.parametrize("clips", [1, 2_000])
def test_the_trunk_of_a_model_file_stays_as_it_is(clips, capsys):
    recipe = TINY.with_values({"training.frozen": -1.0, "model.init": "model.onnx"})
    assert with_frozen_share(recipe, made(clips)).training.frozen == 1
    assert "trunk of model.onnx: it stays as it is" in capsys.readouterr().err
    with pytest.raises(UsageError, match="it has no norms"):
        recipe.with_values({"training.frozen": 0.5})


@pytest.mark.parametrize("init", ["random", "imagenet"])
def test_a_trunk_of_no_speech_learns_at_once(init):
    recipe = Recipe().with_values({"training.frozen": -1.0, "model.init": init})
    assert with_frozen_share(recipe, made(10)).training.frozen == 0


@pytest.mark.parametrize("share", [0.0, 0.7])
def test_what_the_recipe_says_stays(share, held_against):
    recipe = TINY.with_values({"training.frozen": share, "model.init": "runs/latest"})
    assert with_frozen_share(recipe, made(10)) == recipe
    assert held_against == [recipe]
