"""Trunks: torchvision's image networks without their classifiers, at any width.

Shapes: B batch, P pixels of a side, E embedding.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_small, resnet18, resnet34, vgg

from voxedge.nn.pooling import StatisticsPooling

_IMAGE_CHANNELS = 3  # at any width
_NORM = nn.BatchNorm2d
_HALVED = 16  # a ResNet halves the image four times, rounding up, and once more if its stem pools
_MULTIPLE = 8  # channels are a multiple of it, as vector units work on so many at a time

#: Width, a factor for the channels of every layer -> a module [B, 3, P, P] -> [B, E], and E.
Builder: TypeAlias = Callable[[float], tuple[nn.Module, int]]


def in_colour(image: Tensor) -> Tensor:
    """Image [B, 1, H, P] -> three equal channels, as networks for photographs take them."""
    return torch.cat([image] * _IMAGE_CHANNELS, dim=1)


def _scaled(channels: int, width: float) -> int:
    return max(_MULTIPLE, round(channels * width / _MULTIPLE) * _MULTIPLE)


def _resnet(build: Callable[[], nn.Module], width: float) -> tuple[nn.Module, int]:
    trunk = build()
    trunk.fc = nn.Identity()
    if width != 1:
        _scale_channels(trunk, width)
    return trunk, _scaled(512, width)


def _scale_channels(trunk: nn.Module, width: float) -> None:
    """Scale the channels of every layer; new weights are initialised as torchvision does it."""
    for parent in list(trunk.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Conv2d):
                if layer.in_channels != _IMAGE_CHANNELS:
                    layer.in_channels = _scaled(layer.in_channels, width)
                layer.out_channels = _scaled(layer.out_channels, width)
                shape = (layer.out_channels, layer.in_channels, *layer.kernel_size)
                layer.weight = nn.Parameter(torch.empty(shape))
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(layer, nn.BatchNorm2d):
                setattr(parent, name, nn.BatchNorm2d(_scaled(layer.num_features, width)))


def leave_out_stem_pool(resnet: nn.Module) -> None:
    """Take the max pooling behind the first convolution out of a ResNet's trunk.

    Its maps keep twice the rows and columns, as ResNets of speaker recognition have it (Zeinali et
    al. 2019, "BUT system description to VoxCeleb speaker recognition challenge 2019", table 2).

    Args:
        resnet: built by ``TRUNKS``; it is changed.
    """
    resnet.maxpool = nn.Identity()


def pool_statistics(resnet: nn.Module, image_rows: int, embedding_dim: int) -> int:
    """Replace the mean over the image of a ResNet's trunk by statistics over time of each row.

    A batch norm and a linear layer map them to the embedding.

    Args:
        resnet: built by ``TRUNKS``; it is changed.
        image_rows: rows of its image.
        embedding_dim: E, as new.

    Returns:
        E.
    """
    channels = [layer.num_features for layer in resnet.modules() if isinstance(layer, _NORM)][-1]
    pooled = not isinstance(resnet.maxpool, nn.Identity)
    rows = math.ceil(image_rows / (_HALVED * (2 if pooled else 1)))
    statistics = 2 * channels * rows
    resnet.avgpool = StatisticsPooling()
    resnet.fc = nn.Sequential(nn.BatchNorm1d(statistics), nn.Linear(statistics, embedding_dim))
    return embedding_dim


def _vgg11_bn(width: float) -> tuple[nn.Module, int]:
    """Without its classifier, 120 of its 129 million weights; a mean replaces its 7 x 7 pool."""
    plan = [_scaled(n, width) if isinstance(n, int) else n for n in vgg.cfgs["A"]]
    features = vgg.make_layers(plan, batch_norm=True)
    for layer in features:
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:  # as torchvision initialises
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    layers = {"features": features, "avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    return nn.Sequential(OrderedDict(layers)), _scaled(512, width)


def _mobilenet_v3_small(width: float) -> tuple[nn.Module, int]:
    trunk = mobilenet_v3_small(width_mult=width)
    embedding_dim: int = trunk.classifier[0].in_features
    trunk.classifier = nn.Identity()
    return trunk, embedding_dim


#: Trunks by torchvision's names. All halve the image five times, so P is at least 32.
TRUNKS: Mapping[str, Builder] = {
    "resnet18": partial(_resnet, resnet18),
    "resnet34": partial(_resnet, resnet34),
    "vgg11_bn": _vgg11_bn,
    "mobilenet_v3_small": _mobilenet_v3_small,
}
