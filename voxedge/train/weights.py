"""Initial weights of a trunk: random, ImageNet's, or those of an earlier training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from voxedge import base
from voxedge.errors import RunError, UsageError
from voxedge.model_file.metadata import SUFFIX
from voxedge.model_file.reader import read_model
from voxedge.nn.trunks import TRUNKS, leave_out_stem_pool, pool_statistics
from voxedge.train.checkpoint import load_checkpoint
from voxedge.train.onnx_weights import STATISTICS, TRUNK, Stored, stored
from voxedge.train.recipe import Recipe
from voxedge.train.recipe_sections import FrontendRecipe, ModelRecipe
from voxedge.train.run import find_run

_CHECKPOINT = ".safetensors"
_CLASSIFIERS = ("fc.", "classifier.")  # what torchvision calls them
_COUNTER = ".num_batches_tracked"  # of batch norms; torchvision's older files have none


def build_trunk(
    recipe: ModelRecipe, init: str | None = None, *, image_rows: int = FrontendRecipe().image_size
) -> tuple[nn.Module, int]:
    """Build a recipe's trunk with its initial weights.

    Args:
        recipe: name, width, stem and pooling of the trunk.
        init: replaces the recipe's own: ``random``; ``imagenet`` (torchvision's file, from torch's
            cache or downloaded); ``base``, the network that ships; a run folder, its checkpoint
            (``.safetensors``), a model file (``.onnx``) or a torchvision state dict (``.pth``) with
            the weights of such a trunk.
            The weights of a classifier are left out; the layer behind pooled statistics is loaded
            from a checkpoint, and random otherwise.
        image_rows: of the front end's images; statistics pooling has weights for each row.

    Returns:
        The trunk, and the dimension of its embedding.

    Raises:
        UsageError: an unknown trunk, or weights that are not available.
        RunError: the file does not hold the weights of such a trunk.
        ModelError: a damaged model file.
    """
    name, init = recipe.trunk, recipe.init if init is None else init
    if name not in TRUNKS:
        raise UsageError(f"there is no trunk {name!r}; there are: {', '.join(TRUNKS)}")
    trunk, embedding_dim = TRUNKS[name](recipe.width)
    if not recipe.stem_pool:
        leave_out_stem_pool(trunk)
    if recipe.pooling == "statistics":
        embedding_dim = pool_statistics(trunk, image_rows, recipe.embedding_dim)
    if init == "random":
        return trunk, embedding_dim
    earlier = _earlier(init)
    if init == "imagenet":
        state = _imagenet(name)
    elif earlier:
        _refuse_other(init, earlier.recipe, recipe)
        state = earlier.trunk_state(trunk)
    else:
        state = _state_dict(Path(init))
    own = trunk.state_dict()
    if not isinstance(earlier, _Trained):  # the layers behind the pooling do another task
        state = {k: v for k, v in state.items() if not k.startswith(_CLASSIFIERS)}
        state |= {k: v for k, v in own.items() if k.startswith(_CLASSIFIERS)}
    state = {k: v for k, v in own.items() if k.endswith(_COUNTER)} | state
    wrong = [k for k in own.keys() | state.keys() if k not in own or k not in state]
    wrong += [k for k in own.keys() & state.keys() if own[k].shape != state[k].shape]
    if wrong:
        raise RunError(
            f"{init} does not hold the weights of a {name} of width {recipe.width}:"
            f" {len(wrong)} tensors differ, for example {sorted(wrong)[0]}"
        )
    trunk.load_state_dict(state)
    return trunk, embedding_dim


def restore_statistics(statistics: nn.Module, init: str) -> None:
    """Load the weights of ``VoiceStatistics`` from an earlier training, if it has some.

    Warns (``warnings.warn``) if they are of another shape; the module then keeps its own.

    Args:
        statistics: the module of the new network.
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
        text = f"{init}: its voice statistics have another shape; their layer starts at random"
        warnings.warn(text, stacklevel=2)


def refuse_other_images(recipe: Recipe) -> None:
    """Refuse a trunk that stays frozen but was trained on other images than the recipe's.

    Raises:
        UsageError: the recipe's front end differs; names the settings.
    """
    init = recipe.model.init
    if recipe.training.frozen < 1 or (earlier := _earlier(init)) is None:
        return
    ours = asdict(recipe.frontend)
    known = ours | earlier.recipe.get("frontend", {})
    theirs = {key: known[key] for key, own in ours.items() if known[key] != own}
    if theirs:
        raise UsageError(
            f"the frozen trunk of {init} was trained with another front end",
            " ".join(f"--set frontend.{key}={value}" for key, value in theirs.items()),
        )


@dataclass(frozen=True)
class _Trained:
    """The weights in a checkpoint; ``Stored`` has the same interface for a model file."""

    recipe: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def trunk_state(self, _: nn.Module) -> dict[str, Tensor]:
        return self._behind(TRUNK)

    @property
    def statistics(self) -> dict[str, Tensor]:
        return self._behind(STATISTICS)

    def _behind(self, prefix: str) -> dict[str, Tensor]:
        """The tensors with a prefix somewhere in their names, by the rest of the name."""
        named = ((key.partition(prefix)[2], value) for key, value in self.tensors.items())
        return {key: value for key, value in named if key}


def _earlier(init: str) -> Stored | _Trained | None:
    """The weights of an earlier voxedge training; None if ``init`` is something else."""
    path = base.WEIGHTS if init == base.NAME else Path(init)
    if init in ("random", "imagenet"):
        return None
    if path.is_dir():
        path = find_run(path).best
    if not path.is_file():
        raise UsageError(
            f"--init: there is no file {path}", "random, imagenet, base, a run or a file"
        )
    if path.suffix == SUFFIX:
        if not read_model(path).metadata.names_speakers:
            raise RunError(
                f"{path} gives embeddings: its weights cannot be trained on",
                f"--trunk {path} trains a head on it; of a student, --init student.safetensors",
            )
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
    try:  # weights_only: never runs code from the pickle
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - damaged bytes raise errors of all kinds
        raise RunError(f"{path} is not a file of weights: {error}") from None
    if not isinstance(loaded, dict):
        raise RunError(f"{path} is not a state dict")
    return loaded


def _refuse_other(init: str, earlier: Mapping[str, Any], recipe: ModelRecipe) -> None:
    """Refuse a trunk of another name, width, stem or pooling."""
    kept = ("trunk", "width", "stem_pool", "pooling", "embedding_dim")
    ours = {key: getattr(recipe, key) for key in kept}
    # Earlier versions had fewer to choose from, and no value without an effect is compared.
    theirs = ours | {"width": 1.0, "stem_pool": True, "pooling": "mean"} | earlier.get("model", {})
    names = kept if ours["pooling"] == "statistics" else kept[:-1]
    if other := [key for key in names if theirs[key] != ours[key]]:
        raise RunError(
            f"{init} holds another trunk: "
            + ", ".join(f"model.{key} is {theirs[key]}, not {ours[key]}" for key in other),
            " ".join(f"--set model.{key}={theirs[key]}" for key in other),
        )
