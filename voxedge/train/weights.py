"""A trunk's first weights: drawn, ImageNet's, or those of an earlier training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from voxedge.console import warn
from voxedge.errors import RunError, UsageError
from voxedge.nn.trunks import TRUNKS
from voxedge.train.checkpoint import load_checkpoint
from voxedge.train.model_file import SUFFIX, stored
from voxedge.train.recipe import ModelRecipe, Recipe
from voxedge.train.run import find_run

_TRUNK, _STATISTICS = "net.trunk.", "net.bypass."  # what stands in a checkpoint before the names
_INITS = "random, imagenet, a run or a file"
_COUNTER = ".num_batches_tracked"  # of batch norms; torchvision's older files have none


def build_trunk(recipe: ModelRecipe, init: str | None = None) -> tuple[nn.Module, int]:
    """A recipe's trunk with its first weights, and its E.

    Args:
        recipe: its name and width.
        init: instead of the recipe's own: ``random``; ``imagenet`` (torchvision's file, from
            torch's cache or downloaded); or where to take the trunk from: a run folder, its
            checkpoint (``.safetensors``), a model file (``.onnx``), a torchvision state dict
            (``.pth``). Classifiers are never taken over.

    Raises:
        UsageError: an unknown trunk, or weights that cannot be had.
        RunError: a file that is not the weights of such a trunk.
        ModelError: a damaged model file.
    """
    name, init = recipe.trunk, recipe.init if init is None else init
    if name not in TRUNKS:
        raise UsageError(f"there is no trunk {name!r}; there are: {', '.join(TRUNKS)}")
    trunk, entries = TRUNKS[name](recipe.width)
    if init == "random":
        return trunk, entries
    if init == "imagenet":
        state = _imagenet(name)
    elif init.endswith(SUFFIX):
        state = _state_of_model(Path(init), recipe, trunk)
    else:
        state = _state_of(Path(init), recipe)
    own = trunk.state_dict()
    state = {k: v for k, v in state.items() if not k.startswith(("fc.", "classifier."))}
    state = {k: v for k, v in own.items() if k.endswith(_COUNTER)} | state
    wrong = [k for k in own.keys() | state.keys() if k not in own or k not in state]
    wrong += [k for k in own.keys() & state.keys() if own[k].shape != state[k].shape]
    if wrong:
        raise RunError(
            f"{init} does not hold the weights of a {name} of width {recipe.width}:"
            f" {len(wrong)} entries differ, {sorted(wrong)[0]} for one"
        )
    trunk.load_state_dict(state)
    return trunk, entries


def restore_statistics(statistics: nn.Module, init: str) -> None:
    """Give the map of the voice's statistics the weights of an earlier training, if it had one.

    Args:
        statistics: of the new network; stays as it is where ``init`` holds none of its shape.
        init: as for ``build_trunk``, which has refused what cannot be read.
    """
    path = Path(init)
    if init.endswith(SUFFIX):
        state = {name: torch.tensor(value) for name, value in stored(path).statistics.items()}
    elif init not in ("random", "imagenet") and (path.is_dir() or path.suffix == ".safetensors"):
        state = _part(load_checkpoint(_checkpoint(path)).tensors, _STATISTICS)
    else:
        return
    own = statistics.state_dict()
    if own.keys() == state.keys() and all(own[k].shape == state[k].shape for k in own):
        statistics.load_state_dict(state)
    elif state:
        warn(f"{init}: its statistics of the voice are others: their map starts anew")


def refuse_other_images(recipe: Recipe) -> None:
    """A trunk that stays as it came has to be shown the images that it came from.

    Raises:
        UsageError: it stays, and the recipe makes others.
    """
    init = recipe.model.init
    known = _recipe_of(init).get("frontend", {}) if recipe.training.frozen == 1 else {}
    theirs = {
        key: known[key]
        for key, own in asdict(recipe.frontend).items()
        if known.get(key, own) != own
    }
    if theirs:
        raise UsageError(
            f"the trunk of {init} stays as it is, and learned from other images",
            " ".join(f"--set frontend.{key}={value}" for key, value in theirs.items()),
        )


def _recipe_of(init: str) -> Mapping[str, Any]:
    """What an earlier training of ours was told; empty for weights of somebody else."""
    path = Path(init)
    if init.endswith(SUFFIX):
        return stored(path).recipe
    if init not in ("random", "imagenet") and (path.is_dir() or path.suffix == ".safetensors"):
        recipe: Mapping[str, Any] = load_checkpoint(_checkpoint(path)).state.get("recipe", {})
        return recipe
    return {}


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    parts = ((key.partition(prefix)[2], value) for key, value in tensors.items())
    return {key: value for key, value in parts if key}


def _checkpoint(path: Path) -> Path:
    return find_run(path).best if path.is_dir() else path


def _imagenet(trunk: str) -> dict[str, Tensor]:
    weights = get_model_weights(trunk)["IMAGENET1K_V1"]
    file = weights.url.rsplit("/", 1)[1]
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"the ImageNet weights cannot be downloaded: {error}",
            f"bring {file} here and pass --init {file}",
        ) from None
    return state


def _state_of(path: Path, recipe: ModelRecipe) -> dict[str, Tensor]:
    path = _checkpoint(path)
    if not path.is_file():
        raise UsageError(f"--init: there is no file {path}", _INITS)
    if path.suffix == ".safetensors":
        return _state_of_checkpoint(path, recipe)
    try:  # weights_only: never runs a pickle's code
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - the reader raises whatever damaged bytes lead to
        raise RunError(f"{path} is not a file of weights: {error}") from None
    if not isinstance(loaded, dict):
        raise RunError(f"{path} is not a state dict")
    return loaded


def _state_of_checkpoint(path: Path, recipe: ModelRecipe) -> dict[str, Tensor]:
    checkpoint = load_checkpoint(path)
    _refuse_other(path, checkpoint.state.get("recipe", {}), recipe)
    return _part(checkpoint.tensors, _TRUNK)


def _state_of_model(path: Path, recipe: ModelRecipe, trunk: nn.Module) -> dict[str, Tensor]:
    if not path.is_file():
        raise UsageError(f"--init: there is no file {path}", _INITS)
    found = stored(path)
    _refuse_other(path, found.recipe, recipe)
    return found.trunk_state(trunk)


def _refuse_other(path: Path, recipe_of: Mapping[str, Any], recipe: ModelRecipe) -> None:
    """A trunk of another name or width is none to begin with."""
    theirs = {"trunk": recipe.trunk, "width": 1.0} | recipe_of.get("model", {})
    if (theirs["trunk"], theirs["width"]) != (recipe.trunk, recipe.width):
        raise RunError(
            f"{path} holds a {theirs['trunk']} of width {theirs['width']},"
            f" the recipe asks for a {recipe.trunk} of width {recipe.width}",
            f"--set model.trunk={theirs['trunk']} --set model.width={theirs['width']}",
        )
