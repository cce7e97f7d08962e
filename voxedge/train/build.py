"""Recipe -> modules: the only place where plain numbers are taken out of a recipe."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from voxedge.audio import SUFFIXES, decode
from voxedge.errors import RunError, UsageError
from voxedge.limits import Limits
from voxedge.nn.augment import WaveAugment
from voxedge.nn.frontend import Frontend, Window
from voxedge.nn.losses import ContrastiveCenterLoss
from voxedge.nn.speaker_net import CosineHead, SpeakerNet
from voxedge.train.checkpoint import load_checkpoint, restore_module
from voxedge.train.recipe import FrontendRecipe, LossRecipe, Recipe
from voxedge.train.run import Run
from voxedge.train.weights import build_trunk

_ANY_LENGTH = Limits(min_seconds=0.01)


def build_frontend(recipe: FrontendRecipe) -> Frontend:
    """The signal path of a recipe."""
    return Frontend(**asdict(recipe))


def build_net(recipe: Recipe, classes: int, init: str | None = None) -> SpeakerNet:
    """The network of a recipe with its first weights, drawn from the recipe's seed.

    Args:
        recipe: see there.
        classes: K.
        init: instead of the recipe's own ``model.init``.
    """
    torch.manual_seed(recipe.training.seed)
    trunk, width = build_trunk(recipe.model.trunk, recipe.model.init if init is None else init)
    head = build_head(recipe.loss, classes, width)
    return SpeakerNet(build_frontend(recipe.frontend), trunk, head)


def build_head(recipe: LossRecipe, classes: int, width: int) -> nn.Linear | CosineHead:
    """What turns an embedding into logits."""
    if recipe.head == "cosine":
        return CosineHead(width, classes, recipe.scale)
    return nn.Linear(width, classes)


def build_augment(recipe: Recipe, whole: Window) -> WaveAugment | None:
    """What is done to the samples, if anything is; ``whole`` says how many are wanted.

    Raises:
        UsageError: a folder of noises or rooms that holds none.
    """
    wanted, rate = recipe.augment, recipe.frontend.sample_rate
    if not wanted.of_sound:
        return None
    noises = _recordings(wanted.noise_folder, rate)
    rooms = _recordings(wanted.rooms_folder, rate)
    return WaveAugment(wanted, rate, whole, noises, rooms)


def _recordings(folder: str, rate: int) -> list[Tensor]:
    if not folder:
        return []
    paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES)
    found = [torch.from_numpy(decode(path, rate, _ANY_LENGTH).samples) for path in paths]
    if not found:
        raise UsageError(f"there are no recordings in {folder}")
    return found


def build_center_loss(recipe: LossRecipe, classes: int, width: int) -> ContrastiveCenterLoss | None:
    """The center loss of a recipe, if it has one."""
    if recipe.center == "none":
        return None
    return ContrastiveCenterLoss(
        classes, width, recipe.center, recipe.delta, recipe.intra_weight, recipe.inter_weight
    )


def load_net(run: Run) -> SpeakerNet:
    """The best network of a run, on the CPU, ready to answer.

    Raises:
        RunError: the run or its checkpoint is missing or damaged.
    """
    checkpoint = load_checkpoint(run.best)
    net = build_net(run.recipe(), len(run.labels()), init="random")
    if checkpoint.state.get("labels") != list(run.labels()):
        raise RunError(f"{run.best} is of other speakers than the run's labels.json")
    restore_module("net", net, checkpoint)
    return net.eval()
