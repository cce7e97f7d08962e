"""The network: front end -> torchvision trunk -> embedding -> class logits.

Shapes: B batch, S samples, P pixels of a side, E embedding, K classes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_small, resnet18, resnet34, vgg

from voxedge.nn.frontend import Frontend

_VARIANCE_FLOOR = 1e-4  # keeps the root's slope finite where nothing moves
_TINY = 1e-12  # keeps a length of zero from dividing


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


class CosineHead(nn.Module):
    """Embedding [B, E] -> ``scale`` times its cosines with K directions, [B, K].

    Lengths carry no information here, so that embeddings can be compared by their angle (Deng et
    al. 2019, "ArcFace", sec. 2.1). Batch normalisation centres the trunk's output first, which is
    never negative and would else point one way for everybody.
    """

    def __init__(self, in_features: int, classes: int, scale: float) -> None:
        super().__init__()
        self.in_features = in_features
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(classes, in_features))
        nn.init.xavier_normal_(self.weight)

    def forward(self, embedding: Tensor) -> Tensor:
        directions = self.weight / self.weight.norm(dim=1, keepdim=True)
        length = embedding.norm(dim=1, keepdim=True).clamp(min=_TINY)
        cosines: Tensor = embedding / length @ directions.T
        return self.scale * cosines


class BlendedHead(nn.Module):
    """The sum of two heads on the same embedding: angles, and a linear map beside them."""

    def __init__(self, cosine: CosineHead, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features = cosine.in_features
        self.cosine = cosine
        self.linear = linear

    def forward(self, embedding: Tensor) -> Tensor:
        logits: Tensor = self.cosine(embedding) + self.linear(embedding)
        return logits


Head: TypeAlias = nn.Linear | CosineHead | BlendedHead


class SpeakerNet(nn.Module):
    """Raw samples in, logits and embedding out.

    Args:
        frontend: samples -> one-channel image.
        trunk: three-channel image -> features [B, E].
        head: embedding -> logits; before one of angles the features are batch-normalised.
        statistics: whether the long-term spectrum goes past the trunk, see ``band_statistics``.
    """

    def __init__(
        self,
        frontend: Frontend,
        trunk: nn.Module,
        head: Head,
        statistics: bool = False,
    ) -> None:
        super().__init__()
        self.frontend = frontend
        self.trunk = trunk
        self.bypass: nn.Sequential | None = None
        if statistics:
            figures = 2 * frontend.rows.shape[0]
            self.bypass = nn.Sequential(
                nn.BatchNorm1d(figures), nn.Linear(figures, head.in_features)
            )
        cosine = not isinstance(head, nn.Linear)
        self.neck = nn.BatchNorm1d(head.in_features) if cosine else nn.Identity()
        self.head = head

    def forward(self, pcm: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Samples [B, S], valid lengths int64 [B] -> logits [B, K], embedding [B, E]."""
        return self.classify(self.frontend(pcm, lengths))

    def classify(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Image [B, 1, P, P] -> logits [B, K], embedding [B, E] (not normalised)."""
        features = self.trunk(torch.cat([image, image, image], dim=1))
        if self.bypass is not None:
            features = features + self.bypass(band_statistics(image))
        embedding = self.neck(features)
        return self.head(embedding), embedding


def band_statistics(image: Tensor) -> Tensor:
    """Mean and deviation over time of each row of [B, 1, P, P], [B, 2 P].

    The long-term spectrum: what linear models of speakers live on, and what a network that looks
    for the same pattern at every frequency, and then averages, is slow to find.
    """
    rows = image.squeeze(1)
    mean = rows.mean(dim=2)
    centred = rows - mean.unsqueeze(2)
    deviation = torch.sqrt((centred * centred).mean(dim=2) + _VARIANCE_FLOOR)
    return torch.cat([mean, deviation], dim=1)


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
        length = embedding.norm(dim=1, keepdim=True).clamp(min=_TINY)
        return logits, probabilities, embedding / length
