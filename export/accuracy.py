"""The accuracy that lower precision loses on the run's validation clips, and how much may be lost.

Shapes: C clips, N windows, K classes, S samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NotRequired, TypedDict

import numpy as np
import numpy.typing as npt
from voxedge.export.clips import LabelledClip

from voxedge.audio.limits import Samples
from voxedge.audio.windows import active_windows, batches, cut_windows
from voxedge.errors import CorpusError
from voxedge.inference.scoring import LabelledScores
from voxedge.inference.session import open_session
from voxedge.metrics import top_k_hits
from voxedge.threads import available_processors

#: Largest loss of top-k accuracy by k, as a fraction of the clips. Losing one clip is always
#: allowed: with fewer than 200 clips one is more than half a point.
ALLOWED = {1: 0.005, 5: 0.003}
_BAND_EDGES = (0.0, 0.5, 0.8, 0.95, 1.0)  # of the float32 network's confidence
_BATCH_SIZE = 8


class BandSummary(TypedDict):
    """A ``Band`` in the metadata."""

    low: float
    high: float
    clips: int
    changed: int


class TopKSummary(TypedDict):
    """The top-k accuracies in the metadata, and the fraction of clips whose k best agree."""

    float32: float
    int8: NotRequired[float]  # that of the file's precision
    fp16: NotRequired[float]
    lost: int
    allowed: int
    agreement: float


class AccuracySummary(TypedDict):
    """An ``AccuracyLoss`` in the metadata."""

    reference: str
    split: str
    clips: int
    windows: int
    in_float: list[str]
    changed_by_confidence: list[BandSummary]
    top1: TopKSummary
    top5: TopKSummary


@dataclass(frozen=True)
class Band:
    """The clips whose float32 answer has a probability between ``low`` and ``high``."""

    low: float
    high: float
    clips: int
    changed: int  # clips whose answer differs in the lower precision

    def summary(self) -> BandSummary:
        """The JSON form, for the metadata."""
        return {"low": self.low, "high": self.high, "clips": self.clips, "changed": self.changed}


@dataclass(frozen=True)
class AccuracyLoss:
    """The accuracy of a network in lower precision, relative to the same network in float32."""

    precision: str
    clips: int
    windows: int
    hits: dict[int, tuple[int, int]]  # k -> clips right in float32, and in the lower precision
    agreement: dict[int, float]  # k -> fraction of the clips whose k best are the same set
    bands: tuple[Band, ...]
    in_float: tuple[str, ...] = ()  # layers that stayed in float32

    def allowed(self, k: int) -> int:
        """The number of top-k hits that may be lost."""
        return max(1, int(ALLOWED[k] * self.clips))

    def lost(self, k: int) -> int:
        """Top-k hits in float32 minus those in the lower precision; negative for a gain."""
        before, after = self.hits[k]
        return before - after

    @property
    def passed(self) -> bool:
        """Whether no more is lost than allowed."""
        return all(self.lost(k) <= self.allowed(k) for k in ALLOWED)

    def describe(self) -> str:
        """The loss in words."""
        return ", ".join(
            f"top-{k} {self.hits[k][0] / self.clips:.1%} in float32 and"
            f" {self.hits[k][1] / self.clips:.1%} in {self.precision}"
            f" ({self.lost(k):+d} of {self.clips} clips lost, {self.allowed(k)} allowed)"
            for k in ALLOWED
        )

    def summary(self) -> AccuracySummary:
        """The JSON form, for the metadata."""
        return {
            "reference": "float32",
            "split": "validation",
            "clips": self.clips,
            "windows": self.windows,
            "in_float": list(self.in_float),
            "changed_by_confidence": [band.summary() for band in self.bands],
            "top1": self._top_k(1),
            "top5": self._top_k(5),
        }

    def _top_k(self, k: int) -> TopKSummary:
        before, after = (round(hits / self.clips, 6) for hits in self.hits[k])
        summary: TopKSummary = {
            "float32": before,
            "lost": self.lost(k),
            "allowed": self.allowed(k),
            "agreement": round(self.agreement[k], 6),
        }
        summary["int8" if self.precision == "int8" else "fp16"] = after
        return summary


def validation_scores(
    model: bytes, clips: Iterable[LabelledClip], window: int, rate: int
) -> LabelledScores:
    """The logits of the windows of labelled clips, cut as ``identify`` cuts them.

    Args:
        model: the serialised graph.
        clips: decoded one at a time; of a silent clip the first window counts.
        window: samples of a window.
        rate: of the samples, Hz.

    Raises:
        CorpusError: there are no clips.
    """
    session, _ = open_session(model, "cpu", available_processors())
    truth: list[int] = []

    def windows() -> Iterable[tuple[int, Samples]]:
        for label, samples in clips:
            truth.append(label)
            active = active_windows(samples, window, rate)
            for part in active or cut_windows(samples, window, "first"):
                yield len(truth) - 1, part

    rows: list[npt.NDArray[np.float32]] = []
    clip_index: list[int] = []
    for batch in batches(windows(), _BATCH_SIZE, window):
        feeds = {"pcm": batch.pcm, "lengths": batch.lengths}
        rows += session.run(["logits"], feeds)
        clip_index += batch.keys
    if not truth:
        raise CorpusError("no validation clip of the run can be read", "--data FOLDER")
    return LabelledScores(np.concatenate(rows), np.array(clip_index), np.array(truth, np.int64))


def accuracy_loss(
    precision: str,
    reference: LabelledScores,
    lowered: LabelledScores,
    temperature: float,
    in_float: Sequence[str],
) -> AccuracyLoss:
    """Measure the loss on probabilities averaged over the windows of each clip, as in identifying.

    Args:
        precision: of ``lowered``.
        reference: of the float32 network.
        lowered: of the network in the lower precision, for the same clips.
        temperature: of the probabilities.
        in_float: layers that stayed in float32.
    """
    before, after = reference.probabilities(temperature), lowered.probabilities(temperature)
    truth = reference.truth
    return AccuracyLoss(
        precision,
        clips=len(truth),
        windows=len(reference.clip_index),
        hits={
            k: (int(top_k_hits(before, truth, k).sum()), int(top_k_hits(after, truth, k).sum()))
            for k in ALLOWED
        },
        agreement={k: _agreement(before, after, k) for k in ALLOWED},
        bands=_confidence_bands(before, after),
        in_float=tuple(in_float),
    )


def _agreement(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64], k: int) -> float:
    """Fraction of the clips whose k most probable classes are the same set."""
    best_before, best_after = (
        np.sort(np.argsort(-rows, axis=1, kind="stable")[:, :k]) for rows in (before, after)
    )
    return float((best_before == best_after).all(axis=1).mean())


def _confidence_bands(
    before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]
) -> tuple[Band, ...]:
    """Changed answers by the float32 network's confidence: changes should be of unsure ones."""
    confidence, same = before.max(axis=1), before.argmax(axis=1) == after.argmax(axis=1)
    bands = []
    for low, high in pairwise(_BAND_EDGES):
        inside = (confidence >= low) & ((confidence < high) | (high == 1.0))
        bands.append(Band(low, high, int(inside.sum()), int((inside & ~same).sum())))
    return tuple(bands)
