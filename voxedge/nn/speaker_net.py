"""The network: front end -> trunk -> embedding -> class logits.

Shapes: B batch, S samples, P pixels of a side, E embedding, K classes, F evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from voxedge.nn.frontend import Frontend
from voxedge.nn.trunks import in_colour

#: Cepstral coefficients whose statistics go past the trunk, and how many figures they make of it.
STATISTICS = 128
_COEFFICIENTS = 30
_VARIANCE_FLOOR = 1e-3  # nothing to correlate where nothing moves
_SHARPNESS = 3.0  # of soft minima and maxima, per unit of the image
_LOUD = 1.0  # units of the image: what is quieter is flattened in the second half of the statistics
_TINY = 1e-12  # length that is not divided by


class CosineHead(nn.Module):
    """Embedding [B, E] -> ``scale`` times its cosines with K class directions, [B, K].

    Only angles count, so embeddings can be compared by their cosine (Deng et al. 2019, "ArcFace",
    sec. 2.1). ``SpeakerNet`` centres the embedding by batch normalisation first: the trunk's output
    is never negative, and all of it would point the same way.

    Args:
        embedding_dim: E.
        classes: K.
        scale: of the cosines.
    """

    def __init__(self, embedding_dim: int, classes: int, scale: float) -> None:
        super().__init__()
        self.in_features = embedding_dim  # as nn.Linear calls it
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(classes, embedding_dim))
        nn.init.xavier_normal_(self.weight)

    def forward(self, embedding: Tensor, dimensions: slice = slice(None)) -> Tensor:
        """Embeddings [B, E] -> logits [B, K], optionally from some of the dimensions only."""
        embedding, directions = embedding[:, dimensions], self.weight[:, dimensions]
        directions = directions / directions.norm(dim=1, keepdim=True)
        length = embedding.norm(dim=1, keepdim=True).clamp(min=_TINY)
        cosines: Tensor = embedding / length @ directions.T
        return self.scale * cosines


Head: TypeAlias = nn.Linear | CosineHead


class SpeakerNet(nn.Module):
    """Raw samples -> logits and embedding.

    Args:
        frontend: samples -> one-channel image.
        trunk: three-channel image -> features [B, E].
        head: embedding -> logits; before a ``CosineHead`` the features are batch-normalised.
        statistics: how many of the embedding's dimensions, the last ones, come from
            ``VoiceStatistics`` and not from the trunk.
        neck: features -> embedding, in place of that batch norm.

    ``discriminant``, where training ends with one, is asked beside the head. The logits of a short
    clip are multiplied by (clip length / window length) ** ``duration_exponent``, so that its
    probabilities are less confident (Mandasari et al. 2013, "Quality measure functions for
    calibration of speaker recognition systems in various duration conditions").
    """

    def __init__(
        self,
        frontend: Frontend,
        trunk: nn.Module,
        head: Head,
        statistics: int = 0,
        neck: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.frontend = frontend
        self.trunk = trunk
        self.bypass: VoiceStatistics | None = None
        if statistics:
            self.bypass = VoiceStatistics(frontend.image_size, statistics)
        if neck is None:
            cosine = isinstance(head, CosineHead)
            neck = nn.BatchNorm1d(head.in_features) if cosine else nn.Identity()
        self.neck = neck
        self.head = head
        self.discriminant: Discriminant | None = None
        self.duration_exponent = 0.0

    @property
    def evidence(self) -> nn.Module:
        """The module whose output a discriminant may judge by: statistics if any, or embedding."""
        return self.neck if self.bypass is None else self.bypass.norm

    @property
    def parts(self) -> tuple[slice, ...]:
        """Where in the embedding the trunk's features are, and where the statistics."""
        if self.bypass is None:
            return (slice(None),)
        border = self.head.in_features - self.bypass.linear.out_features
        return slice(border), slice(border, None)

    def forward(self, pcm: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Samples [B, S], valid lengths int64 [B] -> logits [B, K], embedding [B, E]."""
        logits, embedding = self.classify(self.frontend(pcm, lengths))
        if self.duration_exponent:
            filled = self.frontend.window.filled_fraction(pcm, lengths).unsqueeze(1)
            logits = logits * filled**self.duration_exponent
        return logits, embedding

    def classify(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Image [B, 1, P, P] of a full window -> logits [B, K], embedding [B, E]."""
        embedding, evidence = self._embedding_and_evidence(image)
        logits = self.head(embedding)
        if self.discriminant is not None:
            logits = self.discriminant(logits, evidence)
        return logits, embedding

    def embed(self, image: Tensor) -> Tensor:
        """Image [B, 1, P, P] -> embedding [B, E]."""
        return self._embedding_and_evidence(image)[0]

    def perceive(self, image: Tensor) -> Tensor:
        """Image [B, 1, P, P] -> evidence [B, F]; the trunk runs only where it must."""
        if self.bypass is None:
            return self.embed(image)
        figures: Tensor = self.bypass.norm(self.bypass.figures(image))
        return figures

    def _embedding_and_evidence(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(in_colour(image))
        if self.bypass is None:
            embedding: Tensor = self.neck(features)
            return embedding, embedding
        figures = self.perceive(image)
        return self.neck(torch.cat([features, self.bypass.linear(figures)], dim=1)), figures


class Discriminant(nn.Module):
    """Linear maps of the evidence that have their shares in the logits.

    Args:
        figures: F, of the evidence.
        classes: K.
        shares: 0 to 1, of each map, for clips like those that it learned from.
        hears: whether it tells which of two maps a clip is for; else the first one has its share.
    """

    shares: Tensor

    def __init__(self, figures: int, classes: int, shares: Sequence[float], hears: bool) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(figures, classes) for _ in shares)
        self.clean = nn.Linear(figures, 1) if hears else None  # log-odds of the first map's clips
        self.register_buffer("shares", torch.tensor(shares))

    def forward(self, logits: Tensor, evidence: Tensor) -> Tensor:
        """Logits [B, K] of the head and evidence [B, F] -> logits [B, K]."""
        shares = self.shares.unsqueeze(0)
        if self.clean is not None:
            odds = self.clean(evidence)
            nearness = torch.sigmoid(torch.cat([odds, -odds], dim=1))
            shares = shares * nearness[:, : len(self.maps)]
        mixed = logits
        for index, one in enumerate(self.maps):
            mixed = mixed + shares[:, index : index + 1] * (one(evidence) - logits)
        return mixed


class VoiceStatistics(nn.Module):
    """How the image's cepstral coefficients are distributed over time; ``norm`` and ``linear`` map
    these figures onto E dimensions of the embedding.

    The mean and the deviation of each coefficient, and how any two of them go together; the same,
    but for the mean, of their changes from one column to the next; all of that once more of the
    image with what is quiet flattened, since noise fills the pauses first; and where each row of
    the image bottoms out and peaks. That is what linear models of speakers live on (correlations:
    Stafylakis et al. 2021, "Speaker embeddings by modeling channel-wise correlations"), and what a
    network that looks for the same pattern at every frequency, and then averages, is slow to find.

    Args:
        pixels: P.
        embedding_dim: E.
    """

    cosines: Tensor
    centring: Tensor
    pairs: Tensor

    def __init__(self, pixels: int, embedding_dim: int) -> None:
        super().__init__()
        count = min(_COEFFICIENTS, pixels)
        order = torch.arange(count, dtype=torch.float64).unsqueeze(1)
        places = torch.arange(pixels, dtype=torch.float64) + 0.5
        cosines = torch.cos(math.pi * order * places / pixels) * math.sqrt(2 / pixels)  # DCT-II
        self.register_buffer("cosines", cosines.float(), persistent=False)
        self.register_buffer("centring", _centring(pixels), persistent=False)
        above = torch.triu_indices(count, count, 1)
        self.register_buffer("pairs", above[0] * count + above[1], persistent=False)
        figures = 2 * (3 * count + 2 * len(self.pairs)) + 2 * pixels
        self.norm = nn.BatchNorm1d(figures)
        self.linear = nn.Linear(figures, embedding_dim)

    def figures(self, image: Tensor) -> Tensor:
        """Image [B, 1, P, P] -> the statistics themselves, in float32 even under autocast."""
        if torch.is_autocast_enabled(image.device.type):  # differences of columns need the digits
            with torch.autocast(image.device.type, enabled=False):
                return self.figures(image.float())  # once: autocast is off now
        rows = image.squeeze(1)
        heights = torch.exp(_SHARPNESS * rows)
        loud = torch.log(heights * math.exp(-_SHARPNESS * _LOUD) + 1)
        cepstrum = self.cosines @ torch.stack([rows, loud], dim=1)  # [B, 2, C, P]
        centred = cepstrum.unsqueeze(2) @ self.centring  # [B, 2, 2, C, P]: of these, of changes
        deviation = torch.sqrt((centred * centred).mean(dim=4) + _VARIANCE_FLOOR)
        even = centred / deviation.unsqueeze(4)
        together = even @ even.transpose(3, 4) / rows.shape[2]
        pairs = together.flatten(3).index_select(3, self.pairs)
        parts = [cepstrum.mean(dim=3).flatten(1), torch.cat([deviation, pairs], dim=3).flatten(1)]
        peaks, bottoms = heights.mean(dim=2).log(), -(1 / heights).mean(dim=2).log()
        return torch.cat([*parts, bottoms / _SHARPNESS, peaks / _SHARPNESS], dim=1)


def _centring(columns: int) -> Tensor:
    """[2, T, T]: what takes the mean off T columns, and makes their T - 1 changes less the mean.

    The changes' last column is 0, and the others are scaled so that means over T columns of their
    squares and products are those over T - 1. One product in place of many small operators.
    """
    whole = torch.eye(columns, dtype=torch.float64)
    changes = whole.roll(-1, dims=0).T - whole
    changes[:, -1] = 0
    changes[:, :-1] -= changes[:, :-1].mean(dim=1, keepdim=True)
    changes *= math.sqrt(columns / (columns - 1))
    return torch.stack([whole - 1 / columns, changes]).float()


class ExportedNet(nn.Module):
    """The network of the model file: adds probabilities and gives the embedding unit length.

    Args:
        net: see there.
        temperature: the logits are divided by it before the softmax.
    """

    def __init__(self, net: SpeakerNet, temperature: float) -> None:
        super().__init__()
        self.net = net
        self.temperature = temperature

    @property
    def window(self) -> int:
        """W: samples of one window."""
        return self.net.frontend.window.samples

    def forward(self, pcm: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Samples [B, S], lengths [B] -> logits, probabilities [B, K], unit embedding [B, E]."""
        logits, embedding = self.net(pcm, lengths)
        probabilities = torch.softmax(logits / self.temperature, dim=1)
        length = embedding.norm(dim=1, keepdim=True).clamp(min=_TINY)
        return logits, probabilities, embedding / length
