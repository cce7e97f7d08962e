"""What training sees of a clip: augmented as the recipe says, and as an image.

Shapes: B batch, S samples, P pixels of a side, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from voxedge.nn.augment import Playback, spec_augment
from voxedge.nn.frontend import Frontend
from voxedge.train.build import build_augment
from voxedge.train.recipe import Recipe


class View:
    """Clips and their classes -> images, and the classes that these are of.

    Args:
        recipe: says what is done.
        frontend: of the network that is trained.
        classes: K.
        device: where it happens.
    """

    def __init__(
        self, recipe: Recipe, frontend: Frontend, classes: int, device: torch.device
    ) -> None:
        self.recipe = recipe.augment
        self.frontend = frontend
        self.classes = classes
        self.playback: Playback | None = None
        if recipe.frontend.feature != "seed":
            self.playback = Playback(frontend, recipe.augment.speed).to(device)
        self.whole = frontend.window if self.playback is None else self.playback.whole
        self.augment = build_augment(recipe, self.whole)
        if self.augment is not None:
            self.augment.to(device)

    @property
    def voices(self) -> int:
        """K, and a class for each speaker played slower and faster."""
        return self.classes * (1 if self.playback is None else len(self.playback.speeds))

    @torch.no_grad()  # nothing in front of the trunk is learned
    def __call__(
        self, pcm: Tensor, lengths: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Samples [B, S], valid lengths and classes [B] -> image [B, 1, P, P], classes [B]."""
        if self.augment is None:
            window = self.whole(pcm, lengths)
        else:
            window = self.augment(pcm, lengths, generator)
        if self.playback is None:
            image = self.frontend.image(window)
        else:
            speeds = len(self.playback.speeds)
            speed = torch.randint(speeds, (len(window),), generator=generator).to(pcm.device)
            image = self.playback(window, speed)
            labels = labels + self.classes * speed
        masks = self.recipe.frequency_mask, self.recipe.time_mask
        return (spec_augment(image, *masks, generator) if any(masks) else image), labels
