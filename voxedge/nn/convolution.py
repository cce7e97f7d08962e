"""Convolutions that learn faster on a CPU: where the maps are small, the weights' gradient is one
matrix product.

oneDNN computes the gradient of 512 x 512 x 3 x 3 weights on maps of 3 x 3 at a fifth of the speed
of a matrix product (docs/decisions.md), and a ResNet has most of its weights there. Everything
else, inference and export included, is ``nn.Conv2d`` as it comes.

Shapes: B batch, C channels given, D channels made, H x W of a map, k x k of a kernel.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Convolution(nn.Conv2d):
    """``nn.Conv2d`` whose weight gradient is a product where that is the faster way."""

    @classmethod
    def of(cls, plain: nn.Conv2d) -> Convolution:
        """The same convolution, with the very same parameters."""
        made = cls.__new__(cls)
        made.__dict__ = plain.__dict__
        return made

    def forward(self, maps: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, D, H', W']."""
        if self.is_product(maps):
            product: Tensor = _Product.apply(maps, self.weight, self.stride, self.padding)
            return product
        return super().forward(maps)

    def is_product(self, maps: Tensor) -> bool:
        """Whether the gradient for these maps is to be a product.

        On a CPU, in float32, where there are fewer places to look at than channels to make; not
        where there is no gradient to compute, so that a traced graph knows nothing of it.
        """
        learns = torch.is_grad_enabled() and self.weight.requires_grad
        plain = self.groups == 1 and self.bias is None and set(self.dilation) == {1}
        if not (learns and plain and maps.device.type == "cpu" and maps.dtype == torch.float32):
            return False
        if torch.is_autocast_enabled("cpu") or not isinstance(self.padding, tuple):
            return False
        places = maps.shape[2] * maps.shape[3] // (self.stride[0] * self.stride[1])
        return places < self.out_channels


def with_products(module: nn.Module) -> None:
    """Make every ``nn.Conv2d`` in it a ``Convolution``."""
    for parent in list(module.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Conv2d:
                setattr(parent, name, Convolution.of(layer))


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch does not name its type
        maps: Tensor,
        weight: Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(maps, weight, None, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None, None]:  # noqa: ANN401
        maps, weight = ctx.saved_tensors
        of_maps = None
        if ctx.needs_input_grad[0]:
            shapes = ctx.stride, ctx.padding, (1, 1), False, (0, 0), 1
            of_maps, _, _ = torch.ops.aten.convolution_backward(
                gradient, maps, weight, None, *shapes, (True, False, False)
            )
        return of_maps, _of_weight(gradient, maps, weight, ctx.stride, ctx.padding), None, None


def _of_weight(
    gradient: Tensor,
    maps: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> Tensor:
    """[B, D, H', W'] of the output -> [D, C, k, k]: what each place saw, times what it was told."""
    made, _, high, wide = weight.shape
    last = maps.permute(0, 2, 3, 1)  # channels last, as they lie in memory
    last = F.pad(last, (0, 0, padding[1], padding[1], padding[0], padding[0]))
    batch, _, _, channels = last.shape
    rows, columns = gradient.shape[2:]
    each, down, right, one = last.stride()
    seen = last.as_strided(
        (batch, rows, columns, high, wide, channels),
        (each, down * stride[0], right * stride[1], down, right, one),
    ).reshape(batch * rows * columns, high * wide * channels)
    told = gradient.permute(0, 2, 3, 1).reshape(len(seen), made)
    return (told.T @ seen).view(made, high, wide, channels).permute(0, 3, 1, 2)
