"""What lower precision costs in accuracy, on the run's validation clips; more than so much is too
much.

Shapes: C clips, N windows, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples
from voxedge.audio.windows import batches, cut, speech
from voxedge.errors import CorpusError
from voxedge.inference.scoring import LabelledScores
from voxedge.inference.session import open_session
from voxedge.metrics import top_k_hits
from voxedge.threads import available_processors

#: Largest loss of accuracy, as a fraction of the clips, by k. One clip is always let pass: fewer
#: than 200 cannot show half a point.
ALLOWED = {1: 0.005, 5: 0.003}
_BANDS = (0.0, 0.5, 0.8, 0.95, 1.0)  # of the float32 network's confidence
_BATCH = 8

Labelled = tuple[int, Samples]  # class and samples [S] of a clip


@dataclass(frozen=True)
class Band:
    """Clips whose float32 answer is held to be between ``low`` and ``high`` probable."""

    low: float
    high: float
    clips: int
    changed: int  # whose best answer is another one


@dataclass(frozen=True)
class Accuracy:
    """A network in lower precision beside the same in float32."""

    precision: str
    clips: int
    windows: int
    hits: dict[int, tuple[int, int]]  # k -> clips right in float32, and in the precision
    agreement: dict[int, float]  # k -> fraction of the clips whose k best are the same set
    bands: tuple[Band, ...]
    in_float: tuple[str, ...] = ()  # layers left in float32

    def allowed(self, k: int) -> int:
        """Clips that may be lost among the k best."""
        return max(1, int(ALLOWED[k] * self.clips))

    def lost(self, k: int) -> int:
        """Clips that float32 gets right and the precision does not, less those it gains."""
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

    def summary(self) -> dict[str, Any]:
        """For the metadata."""
        return {
            "reference": "float32",
            "split": "validation",
            "clips": self.clips,
            "windows": self.windows,
            "in_float": list(self.in_float),
            "changed_by_confidence": [vars(band) for band in self.bands],
        } | {
            f"top{k}": {
                "float32": round(self.hits[k][0] / self.clips, 6),
                self.precision: round(self.hits[k][1] / self.clips, 6),
                "lost": self.lost(k),
                "allowed": self.allowed(k),
                "agreement": round(self.agreement[k], 6),
            }
            for k in ALLOWED
        }


def scores(model: bytes, clips: Iterable[Labelled], window: int) -> LabelledScores:
    """What a model says of labelled clips, over all windows as ``identify`` cuts them.

    Args:
        model: the serialised graph.
        clips: decoded as they are asked for; one of silence counts with its first window.
        window: W, in samples.
    """
    session, _ = open_session(model, "cpu", available_processors())
    truth: list[int] = []

    def windows() -> Iterable[tuple[int, Samples]]:
        for label, samples in clips:
            truth.append(label)
            for part in speech(samples, window) or cut(samples, window, "first"):
                yield len(truth) - 1, part

    rows: list[npt.NDArray[np.float32]] = []
    clip_index: list[int] = []
    for batch in batches(windows(), _BATCH, window):
        feeds = {"pcm": batch.pcm, "lengths": batch.lengths}
        rows += session.run(["logits"], feeds)
        clip_index += batch.keys
    if not truth:
        raise CorpusError("no validation clip of the run can be read", "--data FOLDER")
    return LabelledScores(np.concatenate(rows), np.array(clip_index), np.array(truth, np.int64))


def compare(
    precision: str,
    reference: LabelledScores,
    lowered: LabelledScores,
    temperature: float,
    in_float: Sequence[str],
) -> Accuracy:
    """Both networks' answers, averaged over the windows of each clip."""
    before, after = reference.probabilities(temperature), lowered.probabilities(temperature)
    truth = reference.truth
    confidence, same = before.max(axis=1), before.argmax(axis=1) == after.argmax(axis=1)
    bands = []
    for low, high in pairwise(_BANDS):
        inside = (confidence >= low) & ((confidence < high) | (high == 1.0))
        bands.append(Band(low, high, int(inside.sum()), int((inside & ~same).sum())))
    return Accuracy(
        precision,
        clips=len(truth),
        windows=len(reference.clip_index),
        hits={
            k: (int(top_k_hits(before, truth, k).sum()), int(top_k_hits(after, truth, k).sum()))
            for k in ALLOWED
        },
        agreement={k: _agreement(before, after, k) for k in ALLOWED},
        bands=tuple(bands),
        in_float=tuple(in_float),
    )


def _agreement(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64], k: int) -> float:
    best = (np.sort(np.argsort(-rows, axis=1, kind="stable")[:, :k]) for rows in (before, after))
    first, second = best
    return float((first == second).all(axis=1).mean())
