"""What makes training see more than there is. On the device, batched, drawn from a given generator.

Shapes: B batch, P pixels of a side.
"""

from __future__ import annotations

import torch
from torch import Tensor


def spec_augment(image: Tensor, rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Blank one band of frequencies and one stretch of time in each image [B, 1, P, P].

    Masks are 0 to ``rows`` (``columns``) pixels wide and filled with the image's mean (SpecAugment,
    Park et al. 2019, without the time warp; one mask of each kind).

    Args:
        image: see above.
        rows: widest frequency mask, pixels.
        columns: widest time mask, pixels.
        generator: on the CPU, so that every device draws the same.
    """
    batch, _, height, width = image.shape
    blank = torch.zeros(batch, 1, height, width, dtype=torch.bool)
    for axis, size, widest in ((2, height, rows), (3, width, columns)):
        if widest:
            shape = [batch, 1, 1, 1]
            extent = torch.randint(0, min(widest, size) + 1, shape, generator=generator)
            start = (torch.rand(shape, generator=generator) * (size - extent + 1)).long()
            position = torch.arange(size).reshape([-1, 1] if axis == 2 else [1, -1])
            blank = blank | ((position >= start) & (position < start + extent))
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    return torch.where(blank.to(image.device), mean, image)
