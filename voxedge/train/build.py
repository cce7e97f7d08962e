"""Recipe -> modules: the only place where plain numbers are taken out of a recipe."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import torch
from torch import nn

from voxedge.audio.limits import Samples
from voxedge.data.sounds import load_noises, load_rooms
from voxedge.errors import RunError
from voxedge.nn.augment import Degradations, WaveAugment
from voxedge.nn.features import LogPower, SeedFeatures
from voxedge.nn.frontend import Frontend
from voxedge.nn.losses import ContrastiveCenterLoss
from voxedge.nn.speaker_net import STATISTICS, CosineHead, Discriminant, SpeakerNet
from voxedge.nn.window import Window
from voxedge.train.checkpoint import (
    load_checkpoint,
    refuse_other_signal_path,
    restore_module,
)
from voxedge.train.recipe import FrontendRecipe, LossRecipe, Recipe
from voxedge.train.run import Run
from voxedge.train.weights import build_trunk, restore_statistics


def build_frontend(recipe: FrontendRecipe) -> Frontend:
    """The signal path of a recipe."""
    window = Window(round(recipe.window_seconds * recipe.sample_rate), recipe.padding)
    names = ("n_fft", "win_length", "hop_length", "n_mels")
    sizes = {name: getattr(recipe, name) for name in names}
    features: LogPower | SeedFeatures
    if recipe.feature == "seed":
        features = SeedFeatures(window, **sizes)
    else:
        features = LogPower(
            window,
            feature=recipe.feature,
            sample_rate=recipe.sample_rate,
            f_min=recipe.f_min,
            f_max=recipe.f_max,
            **sizes,
        )
    antialias = recipe.feature != "seed"  # the seed system resizes without
    return Frontend(features, recipe.normalise, recipe.image_size, antialias)


def build_net(recipe: Recipe, classes: int, init: str | None = None) -> SpeakerNet:
    """The network of a recipe with its first weights, drawn from the recipe's seed.

    Args:
        recipe: see there.
        classes: K.
        init: instead of the recipe's own ``model.init``.
    """
    torch.manual_seed(recipe.training.seed)
    trunk, embedding_dim = build_trunk(recipe.model, init)
    statistics = STATISTICS if recipe.model.statistics else 0
    head = build_head(recipe.loss, classes, embedding_dim + statistics)
    net = SpeakerNet(build_frontend(recipe.frontend), trunk, head, statistics)
    if net.bypass is not None:
        restore_statistics(net.bypass, recipe.model.init if init is None else init)
    return net


def build_head(recipe: LossRecipe, classes: int, embedding_dim: int) -> nn.Linear | CosineHead:
    """What turns an embedding into logits."""
    if recipe.head == "cosine":
        return CosineHead(embedding_dim, classes, recipe.scale)
    return nn.Linear(embedding_dim, classes)


def build_augment(recipe: Recipe, window: Window) -> WaveAugment | None:
    """What is done to the samples, if anything is; ``window`` says how many are needed.

    Raises:
        CorpusError: a folder of noises or rooms that holds none for training.
    """
    wanted, rate = recipe.augment, recipe.frontend.sample_rate
    if not wanted.of_sound:
        return None
    sounds: list[tuple[Samples, ...]] = [(), ()]
    if wanted.noise_folder:
        sounds[0] = load_noises(Path(wanted.noise_folder), rate, "training")
    if wanted.rooms_folder:
        sounds[1] = load_rooms(Path(wanted.rooms_folder), rate, "training")
    noises, rooms = ([torch.from_numpy(sound) for sound in kind] for kind in sounds)
    names = (each.name for each in fields(Degradations))
    degradations = Degradations(**{name: getattr(wanted, name) for name in names})
    return WaveAugment(degradations, rate, window, noises, rooms)


def build_center_loss(
    recipe: LossRecipe, classes: int, embedding_dim: int
) -> ContrastiveCenterLoss | None:
    """The center loss of a recipe, if it has one."""
    if recipe.center == "none":
        return None
    return ContrastiveCenterLoss(
        classes,
        embedding_dim,
        recipe.center,
        recipe.delta,
        recipe.intra_weight,
        recipe.inter_weight,
        recipe.center_unit,
    )


def load_net(run: Run) -> SpeakerNet:
    """The network that a finished run has made, on the CPU, ready to answer.

    Raises:
        RunError: the run or its checkpoint is missing or damaged.
    """
    checkpoint = load_checkpoint(run.model)
    refuse_other_signal_path(checkpoint, run.model)
    net = build_net(run.recipe(), len(run.labels()), init="random")
    if checkpoint.state.get("labels") != list(run.labels()):
        raise RunError(f"{run.model} is of other speakers than the run's labels.json")
    if isinstance(net.head, CosineHead) and "net.discriminant.shares" in checkpoint.tensors:
        classes, figures = checkpoint.tensors["net.discriminant.maps.0.weight"].shape
        shares = checkpoint.tensors["net.discriminant.shares"].tolist()
        hears = "net.discriminant.clean.weight" in checkpoint.tensors
        net.discriminant = Discriminant(figures, classes, shares, hears)
        net.head.scale = checkpoint.state["cosine_scale"]
    net.duration_exponent = checkpoint.state.get("duration_exponent", 0.0)
    restore_module("net", net, checkpoint)
    return net.eval()
