"""The network's input in training: clips are degraded as the recipe says and become images.

Shapes: B batch, S samples, P pixels of a side, K speakers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from voxedge.nn.augment import spec_augment
from voxedge.nn.frontend import Frontend
from voxedge.nn.playback import Playback
from voxedge.train.build import build_augment
from voxedge.train.recipe import Recipe


class TrainingInput:
    """Clips and their speakers -> images and their speed classes.

    Args:
        recipe: what is done to clips and images.
        frontend: of the network that is trained.
        speakers: K.
        device: where it is computed.
    """

    def __init__(
        self, recipe: Recipe, frontend: Frontend, speakers: int, device: torch.device
    ) -> None:
        self.recipe = recipe.augment
        self.frontend = frontend
        self.speakers = speakers
        self.playback: Playback | None = None
        if recipe.frontend.feature != "seed":
            self.playback = Playback(frontend, recipe.augment.speed).to(device)
        self.window = frontend.window if self.playback is None else self.playback.window
        self.augment = build_augment(recipe, self.window)
        if self.augment is not None:
            self.augment.to(device)

    @property
    def speed_classes(self) -> int:
        """Classes to train on: K for each playback speed, those of the normal speed first."""
        return self.speakers * (1 if self.playback is None else len(self.playback.speeds))

    @torch.no_grad()  # nothing before the trunk is learned
    def __call__(
        self, pcm: Tensor, lengths: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Degrade and convert a batch.

        Args:
            pcm: samples [B, S].
            lengths: valid samples, int64 [B].
            labels: speakers, int64 [B].
            generator: of all random numbers, on the CPU.

        Returns:
            Images [B, 1, P, P] and their speed classes [B].
        """
        if self.augment is None:
            window = self.window(pcm, lengths)
        else:
            window = self.augment(pcm, lengths, generator)
        if self.playback is None:
            image = self.frontend.image(window)
        else:
            speeds = len(self.playback.speeds)
            speed = torch.randint(speeds, (len(window),), generator=generator).to(pcm.device)
            image = self.playback(window, speed)
            labels = labels + self.speakers * speed
        masks = self.recipe.frequency_mask, self.recipe.time_mask
        return (spec_augment(image, *masks, generator) if any(masks) else image), labels
