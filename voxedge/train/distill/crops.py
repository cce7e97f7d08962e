"""Batches of degraded crops as images, and the teacher's embeddings of their clips.

Shapes: B crops of a batch, S samples of a crop, H rows and P columns of its image, E embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from voxedge.audio.limits import MIN_WINDOW_SECONDS
from voxedge.nn.augment import WaveAugment, spec_augment
from voxedge.nn.frontend import Frontend
from voxedge.train.build import build_augment, build_frontend, load_sounds
from voxedge.train.distill.settings import Distillation
from voxedge.train.distill.targets import Variation, centred
from voxedge.train.recipe import Recipe

_FEWEST_COLUMNS = 32


class CropBatch(NamedTuple):
    """What a step trains on."""

    images: Tensor  # [B, 1, H, P]
    targets: Tensor  # [B, E]
    bank: Tensor  # [N, E]


class CropSampler:
    """Draws batches: crops of one length, of any variation, each degraded in its own way.

    A batch follows from the seed and its number alone.

    Args:
        recipe: of the front end, the augmentation and the batch size.
        settings: lengths of crops, size of the bank.
        variations: of the clips.
        kept: indices of the clips to train on.
        device: of the images.
    """

    def __init__(
        self,
        recipe: Recipe,
        settings: Distillation,
        variations: Sequence[Variation],
        kept: npt.NDArray[np.int64],
        device: torch.device,
    ) -> None:
        self.recipe, self.settings, self.device = recipe, settings, device
        self.variations, self.kept = variations, kept
        rate, window = recipe.frontend.sample_rate, recipe.frontend.window_seconds
        self.targets = centred(variations, kept).to(device)
        seconds = (max(MIN_WINDOW_SECONDS, share * window) for share in settings.crops)
        self.lengths = [round(each * rate) for each in seconds]
        sounds = load_sounds(recipe) if recipe.augment.of_sound else None
        self.frontends: list[Frontend] = []
        self.augments: list[WaveAugment | None] = []
        for length in self.lengths:
            own = _of_length(recipe, length / rate)
            frontend = build_frontend(own.frontend).to(device)
            augment = build_augment(own, frontend.window, sounds)
            self.frontends.append(frontend)
            self.augments.append(None if augment is None else augment.to(device))

    @torch.no_grad()
    def batch(self, step: int) -> CropBatch:
        """Draw the batch of a step."""
        random = np.random.default_rng([self.recipe.training.seed, step])
        generator = torch.Generator().manual_seed(int(random.integers(1 << 62)))
        which = int(random.integers(len(self.lengths)))
        length, frontend = self.lengths[which], self.frontends[which]
        augment = self.augments[which]
        short = 2 * length <= max(self.lengths)  # then twice as many take no longer
        count = self.recipe.training.batch_size * (2 if short else 1)
        variation = random.integers(len(self.variations), size=count)
        clip = random.choice(self.kept, size=count)
        pcm = np.zeros((count, length), np.float32)
        valid = np.zeros(count, np.int64)
        for row, start in enumerate(random.random(count)):
            crop = self.variations[variation[row]].crop(clip[row], start, length)
            pcm[row, : len(crop)], valid[row] = crop, len(crop)
        samples, lengths = (torch.from_numpy(x).to(self.device) for x in (pcm, valid))
        if augment is None:
            window = frontend.window(samples, lengths)
        else:
            window = augment(samples, lengths, generator)
        images = frontend.image(window)
        masks = self.recipe.augment.frequency_mask, self.recipe.augment.time_mask
        images = spec_augment(images, *masks, generator) if any(masks) else images
        bank = self.targets[
            random.integers(len(self.variations), size=self.settings.bank),
            random.choice(self.kept, size=self.settings.bank),
        ]
        return CropBatch(images, self.targets[variation, clip], bank)


def _of_length(recipe: Recipe, seconds: float) -> Recipe:
    """The recipe with another window, whose image has columns of the same duration."""
    frontend = recipe.frontend
    columns = frontend.image_columns or frontend.image_size
    share = seconds / frontend.window_seconds
    own = max(_FEWEST_COLUMNS, round(columns * share))
    return replace(recipe, frontend=replace(frontend, window_seconds=seconds, image_columns=own))
