"""Build the modules of a recipe: modules take plain numbers, which are read from it here."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from voxedge.data.sounds import load_noises, load_rooms
from voxedge.errors import RunError
from voxedge.nn.augment import Degradations, WaveAugment
from voxedge.nn.embedding_head import EmbeddingNeck
from voxedge.nn.features import LogPower, SeedFeatures
from voxedge.nn.frontend import Frontend
from voxedge.nn.losses import ContrastiveCenterLoss
from voxedge.nn.speaker_net import STATISTICS, CosineHead, Discriminant, SpeakerNet
from voxedge.nn.window import Window
from voxedge.train.checkpoint import load_checkpoint, refuse_other_signal_path, restore_module
from voxedge.train.recipe import Recipe
from voxedge.train.recipe_sections import FrontendRecipe, LossRecipe
from voxedge.train.run import Run
from voxedge.train.weights import build_trunk, restore_statistics


def build_frontend(recipe: FrontendRecipe) -> Frontend:
    """Build the front end of a recipe."""
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
    return Frontend(features, recipe.normalise, recipe.image_size, antialias, recipe.image_columns)


def build_net(recipe: Recipe, classes: int, init: str | None = None) -> SpeakerNet:
    """Build the network of a recipe with its initial weights, random ones from the recipe's seed.

    Args:
        recipe: of the network.
        classes: how many speakers.
        init: replaces the recipe's ``model.init``.
    """
    torch.manual_seed(recipe.training.seed)
    rows = recipe.frontend.image_size
    trunk, embedding_dim = build_trunk(recipe.model, init, image_rows=rows)
    statistics = STATISTICS if recipe.model.statistics else 0
    head = build_head(recipe.loss, classes, embedding_dim + statistics)
    neck = EmbeddingNeck(embedding_dim) if recipe.model.pooling == "statistics" else None
    net = SpeakerNet(build_frontend(recipe.frontend), trunk, head, statistics, neck)
    if net.bypass is not None:
        restore_statistics(net.bypass, recipe.model.init if init is None else init)
    return net


def build_head(recipe: LossRecipe, classes: int, embedding_dim: int) -> nn.Linear | CosineHead:
    """Build the module from an embedding to the logits of some classes."""
    if recipe.head == "cosine":
        return CosineHead(embedding_dim, classes, recipe.scale)
    return nn.Linear(embedding_dim, classes)


class Sounds(NamedTuple):
    """Recordings that training clips are degraded with, [S] each."""

    noises: list[Tensor]
    rooms: list[Tensor]


def load_sounds(recipe: Recipe) -> Sounds:
    """Load the recordings of a recipe's folders, as far as it names some.

    Raises:
        CorpusError: a folder of noises or rooms has none for training.
    """
    augment, rate = recipe.augment, recipe.frontend.sample_rate
    noises, rooms = augment.noise_folder, augment.rooms_folder
    return Sounds(
        [
            torch.from_numpy(x)
            for x in (load_noises(Path(noises), rate, "training") if noises else ())
        ],
        [torch.from_numpy(x) for x in (load_rooms(Path(rooms), rate, "training") if rooms else ())],
    )


def build_augment(
    recipe: Recipe, window: Window, sounds: Sounds | None = None
) -> WaveAugment | None:
    """Build the augmentation of waveforms, if the recipe has any.

    Args:
        recipe: see ``AugmentRecipe``.
        window: of the augmented samples.
        sounds: what ``load_sounds`` gave, if it was called before.

    Raises:
        CorpusError: a folder of noises or rooms has none for training.
    """
    augment = recipe.augment
    if not augment.of_sound:
        return None
    noises, rooms = load_sounds(recipe) if sounds is None else sounds
    degradations = {each.name: getattr(augment, each.name) for each in fields(Degradations)}
    return WaveAugment(
        Degradations(**degradations), recipe.frontend.sample_rate, window, noises, rooms
    )


def build_center_loss(
    recipe: LossRecipe, classes: int, embedding_dim: int
) -> ContrastiveCenterLoss | None:
    """Build the center loss of a recipe, if it has one."""
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
    """Load the network of a finished run, on the CPU and in evaluation mode.

    Raises:
        RunError: the run has not ended, or its checkpoint is damaged.
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
