"""The network: front end -> torchvision trunk -> embedding -> class logits.

Shapes: B batch, S samples, P pixels of a side, E embedding, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from voxedge.errors import RunError, UsageError
from voxedge.nn.frontend import Frontend

_TINY = 1e-12  # keeps a length of zero from dividing
IMAGENET_FILE = "resnet18-f37072fd.pth"  # torchvision's name for ResNet18_Weights.IMAGENET1K_V1


def _resnet18() -> tuple[nn.Module, int]:
    trunk = torchvision.models.resnet18(weights=None)
    width: int = trunk.fc.in_features
    trunk.fc = nn.Identity()
    return trunk, width


#: Trunks by name: each builder gives a module [B, 3, P, P] -> [B, E], and E.
TRUNKS: dict[str, Callable[[], tuple[nn.Module, int]]] = {"resnet18": _resnet18}


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
        return self.scale * (embedding / length @ directions.T)


class SpeakerNet(nn.Module):
    """Raw samples in, logits and embedding out.

    Args:
        frontend: samples -> one-channel image.
        trunk: three-channel image -> features [B, E].
        head: embedding -> logits; before a ``CosineHead`` the features are batch-normalised.
    """

    def __init__(self, frontend: Frontend, trunk: nn.Module, head: nn.Linear | CosineHead) -> None:
        super().__init__()
        self.frontend = frontend
        self.trunk = trunk
        cosine = isinstance(head, CosineHead)
        self.neck = nn.BatchNorm1d(head.in_features) if cosine else nn.Identity()
        self.head = head

    def forward(self, pcm: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Samples [B, S], valid lengths int64 [B] -> logits [B, K], embedding [B, E]."""
        return self.classify(self.frontend(pcm, lengths))

    def classify(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Image [B, 1, P, P] -> logits [B, K], embedding [B, E] (not normalised)."""
        embedding = self.neck(self.trunk(torch.cat([image, image, image], dim=1)))
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
        length = embedding.norm(dim=1, keepdim=True).clamp(min=_TINY)
        return logits, probabilities, embedding / length


def build_trunk(name: str, init: str) -> tuple[nn.Module, int]:
    """A trunk by name with its first weights, and its E.

    Args:
        name: a key of ``TRUNKS``.
        init: ``random``, ``imagenet`` (torchvision's file, from torch's cache or downloaded),
            or a file: a torchvision state dict (``.pth``) or safetensors of this network.

    Raises:
        UsageError: an unknown trunk, or weights that cannot be had.
        RunError: a file that is not the weights of such a trunk.
    """
    if name not in TRUNKS:
        raise UsageError(f"there is no trunk {name!r}; there are: {', '.join(TRUNKS)}")
    trunk, width = TRUNKS[name]()
    if init == "random":
        return trunk, width
    state = _imagenet() if init == "imagenet" else _state_of(Path(init))
    own = trunk.state_dict()
    state = {
        key: value for key, value in state.items() if not key.startswith(("fc.", "classifier."))
    }
    wrong = [k for k in own.keys() | state.keys() if k not in own or k not in state]
    wrong += [k for k in own.keys() & state.keys() if own[k].shape != state[k].shape]
    if wrong:
        raise RunError(
            f"{init} does not hold the weights of a {name}: {len(wrong)} entries differ,"
            f" {sorted(wrong)[0]} for one"
        )
    trunk.load_state_dict(state)
    return trunk, width


def _imagenet() -> dict[str, Tensor]:
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"the ImageNet weights cannot be downloaded: {error}",
            f"bring {IMAGENET_FILE} here and pass --init {IMAGENET_FILE}",
        ) from None
    return state


def _state_of(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UsageError(f"--init: there is no file {path}", "say random, imagenet or a file")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
            return {k.removeprefix("net.trunk."): v for k, v in state.items() if "trunk." in k}
        loaded = torch.load(
            path, map_location="cpu", weights_only=True
        )  # never runs a pickle's code
    except Exception as error:  # noqa: BLE001 - the readers raise whatever damaged bytes lead to
        raise RunError(f"{path} is not a file of weights: {error}") from None
    if not isinstance(loaded, dict):
        raise RunError(f"{path} is not a state dict")
    return loaded
