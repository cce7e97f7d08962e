"""Score clips: a clip's answer is the mean of the answers for those of its windows that count.

Inference, the metrics of training and the accuracy check of the export all average with
``average_over_windows``, so that what is measured is what is answered.

Shapes: B windows of a batch, N windows in all, C clips, S samples, K classes, E embedding,
F features of the discriminant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Generic, NamedTuple, TypeAlias, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples
from voxedge.audio.windows import Batch, Policy, active_windows, make_batch
from voxedge.metrics import IntervalDict, bootstrap, calibration_error, softmax, top_k_hits
from voxedge.speech.segments import Segment
from voxedge.threads import ordered_map

Key = TypeVar("Key")

_MAX_WAITING = 256  # clips: answers are not held back by many silent or broken clips behind them
_MIN_NORM = 1e-12  # of an embedding: a shorter one is not scaled to unit length
Array: TypeAlias = npt.NDArray[Any]
_Row: TypeAlias = tuple[Array, Array, Array]  # of ``Outputs``, for one window


class Outputs(NamedTuple):
    """The model's outputs for a batch of windows."""

    logits: npt.NDArray[np.float32]  # [B, K]
    probabilities: npt.NDArray[np.float32]  # [B, K]
    embedding: npt.NDArray[np.float32]  # [B, E], unit length
    #: [B, K] of a file that names the people of a gallery, whose logits are proportional to them;
    #: of others empty.
    cosines: npt.NDArray[np.float32] = np.zeros((0, 0), np.float32)


def average_over_windows(
    values: Array, clip_index: npt.NDArray[np.integer], clips: int
) -> npt.NDArray[np.float64]:
    """Average over the windows of each clip: values [N] or [N, D] -> [C] or [C, D].

    Args:
        values: of each window.
        clip_index: [N], the clip of each window.
        clips: C; each has at least one window.
    """
    total = np.zeros((clips, *values.shape[1:]))
    np.add.at(total, clip_index, values)
    counts = np.bincount(clip_index, minlength=clips)
    mean: npt.NDArray[np.float64] = total / counts.reshape(-1, *[1] * (values.ndim - 1))
    return mean


def unit_length(embedding: Array) -> npt.NDArray[np.float32]:
    """Scale an embedding [E] to length 1."""
    norm = max(float(np.linalg.norm(embedding)), _MIN_NORM)
    scaled: npt.NDArray[np.float32] = (embedding / norm).astype(np.float32)
    return scaled


@dataclass(frozen=True)
class ClipScores(Generic[Key]):
    """The answer for one clip."""

    key: Key  # the caller's, of this clip
    windows: int  # active ones; without any, the arrays are empty
    probabilities: Array = field(default_factory=lambda: np.zeros(0))  # [K]
    embedding: npt.NDArray[np.float32] = field(  # [E], unit length
        default_factory=lambda: np.zeros(0, np.float32)
    )
    logits: Array = field(default_factory=lambda: np.zeros(0))  # [K]


class Accuracy(TypedDict):
    """Accuracy on labelled clips, as JSON holds it."""

    clips: int
    windows: int
    speakers: int
    top1: IntervalDict
    top5: IntervalDict
    calibration_error: float


@dataclass(frozen=True)
class LabelledScores:
    """Logits of all windows of labelled clips, and the metrics that follow from them."""

    logits: npt.NDArray[np.float32]  # [N, K]
    clip_index: npt.NDArray[np.intp]  # [N], the clip of each window
    truth: npt.NDArray[np.int64]  # [C], the class of each clip
    evidence: npt.NDArray[np.float32] | None = None  # [N, F], see ``SpeakerNet.evidence``

    @property
    def window_truth(self) -> npt.NDArray[np.int64]:
        """The class of each window, [N]."""
        return self.truth[self.clip_index]

    def cross_entropy(self) -> float:
        """Mean cross-entropy over the windows."""
        own = softmax(self.logits)[np.arange(len(self.clip_index)), self.window_truth]
        return float(-np.log(np.maximum(own, 1e-300)).mean())

    def probabilities(self, temperature: float) -> npt.NDArray[np.float64]:
        """Softmax of the temperature-scaled logits, averaged over the windows: [C, K]."""
        windows = softmax(self.logits / temperature)
        return average_over_windows(windows, self.clip_index, len(self.truth))

    def accuracy(self, temperature: float) -> Accuracy:
        """Top-1 and top-5 with 95 % intervals (bootstrap over speakers), calibration error."""
        probabilities = self.probabilities(temperature)
        top1 = top_k_hits(probabilities, self.truth, 1)
        top5 = top_k_hits(probabilities, self.truth, 5)
        return {
            "clips": len(self.truth),
            "windows": len(self.clip_index),
            "speakers": len(np.unique(self.truth)),
            "top1": bootstrap(top1, self.truth).as_dict(),
            "top5": bootstrap(top5, self.truth).as_dict(),
            "calibration_error": calibration_error(probabilities.max(axis=1), top1),
        }

    @classmethod
    def concatenate(cls, parts: Sequence[LabelledScores]) -> LabelledScores:
        """Join several scores; a clip that is in more than one of them counts each time."""
        starts = np.cumsum([0, *(len(part.truth) for part in parts)])[:-1]
        evidence = [part.evidence for part in parts if part.evidence is not None]
        return cls(
            np.concatenate([part.logits for part in parts]),
            np.concatenate([p.clip_index + start for p, start in zip(parts, starts, strict=True)]),
            np.concatenate([part.truth for part in parts]),
            np.concatenate(evidence) if evidence else None,
        )


@dataclass(eq=False)
class _Pending(Generic[Key]):
    """A clip of which some windows are not computed yet."""

    key: Key
    windows: int
    rows: list[_Row] = field(default_factory=list)
    by_people: bool = False  # whether logits are proportional to cosines with people

    @property
    def complete(self) -> bool:
        return len(self.rows) == self.windows

    def scores(self) -> ClipScores[Key]:
        if not self.windows:
            return ClipScores(self.key, 0)
        only = np.zeros(self.windows, np.intp)
        logits, probabilities, embedding = (
            average_over_windows(np.stack(values), only, 1)[0]
            for values in zip(*self.rows, strict=True)
        )
        if self.by_people:  # as a gallery does: of the mean embedding, at unit length
            logits = logits / max(float(np.linalg.norm(embedding)), _MIN_NORM)
            (probabilities,) = softmax(logits[None])
        return ClipScores(self.key, self.windows, probabilities, unit_length(embedding), logits)


def score_clips(
    clips: Iterable[tuple[Key, Samples]],
    run: Callable[[Batch[Any]], Outputs],
    window: int,
    rate: int,
    batch_size: int,
    policy: Policy = "all",
    workers: int = 0,
    speech: Callable[[Key], Sequence[Segment] | None] = lambda _: None,
) -> Iterator[ClipScores[Key]]:
    """Yield the scores of (key, samples [S]) pairs, in order; windows of clips share batches.

    Args:
        clips: a key for each, and its samples. An empty or silent clip has no windows.
        run: the model. Batches are numbered in the order in which they are made.
        window: samples of one.
        rate: of the samples, Hz.
        batch_size: B.
        policy: ``all`` windows of a clip that count, or the ``first`` of them.
        workers: threads that call ``run``, if there is more than one batch.
        speech: the segments of speech of the clip with a key, if they were looked for.
    """
    waiting: deque[_Pending[Key]] = deque()

    def batches() -> Iterator[Batch[_Pending[Key]]]:
        rows: list[tuple[_Pending[Key], Samples]] = []
        number = count()

        def next_batch() -> Batch[_Pending[Key]]:
            batch = make_batch(rows, window, next(number))
            rows.clear()
            return batch

        for key, samples in clips:
            parts = active_windows(samples, window, rate, policy, speech(key))
            pending = _Pending(key, len(parts))
            waiting.append(pending)
            for part in parts:
                rows.append((pending, part))
                if len(rows) == batch_size:
                    yield next_batch()
            silent = not parts and not rows  # an empty batch, so that the clip is answered at once
            if silent or len(waiting) > _MAX_WAITING:
                yield next_batch()
        if rows:
            yield next_batch()

    def compute(batch: Batch[_Pending[Key]]) -> Iterator[tuple[_Pending[Key], _Row]]:
        if not batch.keys:
            return iter(())
        *outputs, cosines = run(batch)
        for pending in batch.keys:
            pending.by_people = cosines.size > 0
        return zip(batch.keys, zip(*outputs, strict=True), strict=True)

    for results in ordered_map(compute, batches(), workers):
        for pending, row in results:
            pending.rows.append(row)
        while waiting and waiting[0].complete:
            yield waiting.popleft().scores()
