"""A trunk's first weights: drawn, ImageNet's, or those of an earlier training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from voxedge.errors import RunError, UsageError
from voxedge.model_file.metadata import SUFFIX
from voxedge.nn.trunks import TRUNKS
from voxedge.train.checkpoint import load_checkpoint
from voxedge.train.onnx_weights import STATISTICS, TRUNK, Stored, stored
from voxedge.train.recipe import ModelRecipe, Recipe
from voxedge.train.run import find_run

_CHECKPOINT = ".safetensors"
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
    trunk, embedding_dim = TRUNKS[name](recipe.width)
    if init == "random":
        return trunk, embedding_dim
    if init == "imagenet":
        state = _imagenet(name)
    elif earlier := _earlier(init):
        _refuse_other(init, earlier.recipe, recipe)
        state = earlier.trunk_state(trunk)
    else:
        state = _state_dict(Path(init))
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
    return trunk, embedding_dim


def restore_statistics(statistics: nn.Module, init: str) -> None:
    """Give the map of the voice's statistics the weights of an earlier training, if it had one.

    Warns (``warnings.warn``) where an earlier training had another one: the map starts anew.

    Args:
        statistics: of the new network; stays as it is where ``init`` holds none of its shape.
        init: as for ``build_trunk``, which has refused what cannot be read.
    """
    earlier = _earlier(init)
    state = (
        {name: torch.as_tensor(value) for name, value in earlier.statistics.items()}
        if earlier
        else {}
    )
    own = statistics.state_dict()
    if own.keys() == state.keys() and all(own[k].shape == state[k].shape for k in own):
        statistics.load_state_dict(state)
    elif state:
        text = f"{init}: its statistics of the voice are others: their map starts anew"
        warnings.warn(text, stacklevel=2)


def refuse_other_images(recipe: Recipe) -> None:
    """A trunk that stays as it came has to be shown the images that it came from.

    Raises:
        UsageError: it stays, and the recipe makes others.
    """
    init = recipe.model.init
    if recipe.training.frozen < 1 or (earlier := _earlier(init)) is None:
        return
    ours = asdict(recipe.frontend)
    known = ours | earlier.recipe.get("frontend", {})
    theirs = {key: known[key] for key, own in ours.items() if known[key] != own}
    if theirs:
        raise UsageError(
            f"the trunk of {init} stays as it is, and learned from other images",
            " ".join(f"--set frontend.{key}={value}" for key, value in theirs.items()),
        )


@dataclass(frozen=True)
class _Trained:
    """What a checkpoint holds of its weights, as ``Stored`` tells it of a model file."""

    recipe: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def trunk_state(self, _: nn.Module) -> dict[str, Tensor]:
        return self._part(TRUNK)

    @property
    def statistics(self) -> dict[str, Tensor]:
        return self._part(STATISTICS)

    def _part(self, prefix: str) -> dict[str, Tensor]:
        parts = ((key.partition(prefix)[2], value) for key, value in self.tensors.items())
        return {key: value for key, value in parts if key}


def _earlier(init: str) -> Stored | _Trained | None:
    """What an earlier training of ours left to begin with; None for weights of somebody else."""
    path = Path(init)
    if init in ("random", "imagenet"):
        return None
    if path.is_dir():
        path = find_run(path).best
    if not path.is_file():
        raise UsageError(f"--init: there is no file {path}", "random, imagenet, a run or a file")
    if path.suffix == SUFFIX:
        return stored(path)
    if path.suffix == _CHECKPOINT:
        checkpoint = load_checkpoint(path)
        return _Trained(checkpoint.state.get("recipe", {}), checkpoint.tensors)
    return None


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


def _state_dict(path: Path) -> dict[str, Tensor]:
    try:  # weights_only: never runs a pickle's code
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - the reader raises whatever damaged bytes lead to
        raise RunError(f"{path} is not a file of weights: {error}") from None
    if not isinstance(loaded, dict):
        raise RunError(f"{path} is not a state dict")
    return loaded


def _refuse_other(init: str, earlier: Mapping[str, Any], recipe: ModelRecipe) -> None:
    """A trunk of another name or width is none to begin with."""
    theirs = {"trunk": recipe.trunk, "width": 1.0} | earlier.get("model", {})
    if (theirs["trunk"], theirs["width"]) != (recipe.trunk, recipe.width):
        raise RunError(
            f"{init} holds a {theirs['trunk']} of width {theirs['width']},"
            f" the recipe asks for a {recipe.trunk} of width {recipe.width}",
            f"--set model.trunk={theirs['trunk']} --set model.width={theirs['width']}",
        )
