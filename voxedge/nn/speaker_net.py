"""The network: front end -> torchvision trunk -> embedding -> class logits.

Shapes: B batch, S samples, P pixels of a side, E embedding, K classes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_small, resnet18, resnet34, vgg

from voxedge.nn.frontend import Frontend


def _resnet(build: Callable[[], nn.Module]) -> tuple[nn.Module, int]:
    trunk = build()
    trunk.fc = nn.Identity()
    return trunk, 512


def _vgg11_bn() -> tuple[nn.Module, int]:
    """Without its classifier, 120 of its 129 million weights; its 7 x 7 pool becomes a mean."""
    features = vgg.make_layers(vgg.cfgs["A"], batch_norm=True)
    for layer in features:
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:  # as torchvision begins
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    layers = {"features": features, "avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    return nn.Sequential(OrderedDict(layers)), 512


def _mobilenet_v3_small() -> tuple[nn.Module, int]:
    trunk = mobilenet_v3_small()
    trunk.classifier = nn.Identity()
    return trunk, 576


#: Trunks by torchvision's names: each builder gives a module [B, 3, P, P] -> [B, E], and E. All
#: halve the image five times, so that P is at least 32.
TRUNKS: dict[str, Callable[[], tuple[nn.Module, int]]] = {
    "resnet18": lambda: _resnet(resnet18),
    "resnet34": lambda: _resnet(resnet34),
    "vgg11_bn": _vgg11_bn,
    "mobilenet_v3_small": _mobilenet_v3_small,
}


class SpeakerNet(nn.Module):
    """Raw samples in, logits and embedding out.

    Args:
        frontend: samples -> one-channel image.
        trunk: three-channel image -> embedding.
        embedding_dim: E, of the trunk.
        classes: K.
    """

    def __init__(
        self, frontend: Frontend, trunk: nn.Module, embedding_dim: int, classes: int
    ) -> None:
        super().__init__()
        self.frontend = frontend
        self.trunk = trunk
        self.head = nn.Linear(embedding_dim, classes)

    def forward(self, pcm: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Samples [B, S], valid lengths int64 [B] -> logits [B, K], embedding [B, E]."""
        return self.classify(self.frontend(pcm, lengths))

    def classify(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Image [B, 1, P, P] -> logits [B, K], embedding [B, E] (not normalised)."""
        embedding = self.trunk(torch.cat([image, image, image], dim=1))
        return self.head(embedding), embedding


class ExportedNet(nn.Module):
    """What the model file computes: the network with calibrated probabilities beside it."""

    def __init__(self, net: SpeakerNet, temperature: float) -> None:
        super().__init__()
        self.net = net
        self.temperature = temperature

    def forward(self, pcm: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Samples [B, S], lengths -> logits, probabilities [B, K], unit-length embedding [B, E]."""
        logits, embedding = self.net(pcm, lengths)
        probabilities = torch.softmax(logits / self.temperature, dim=1)
        length = embedding.norm(dim=1, keepdim=True).clamp(min=1e-12)
        return logits, probabilities, embedding / length
