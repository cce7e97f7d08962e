"""A clip's answer is the mean over its windows: one stream of clips in, one of answers out.

Identifying and measuring both go this way, so that what is measured is what is answered.

Shapes: B windows of a batch, S samples, K classes, E embedding.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from voxedge.limits import Samples
from voxedge.parallel import ordered_map
from voxedge.windows import Batch, Policy, make_batch, speech

Owner = TypeVar("Owner")

_MAX_WAITING = 256  # clips: a long row of silent or broken ones does not keep an answer back
Array: TypeAlias = npt.NDArray[Any]


class Outputs(NamedTuple):
    """What the model computes for a batch of windows."""

    logits: npt.NDArray[np.float32]  # [B, K]
    probabilities: npt.NDArray[np.float32]  # [B, K]
    embedding: npt.NDArray[np.float32]  # [B, E], unit length


@dataclass(eq=False)
class ClipScores(Generic[Owner]):
    """The windows of one clip, averaged."""

    owner: Owner  # whoever handed the clip in
    windows: int = 0  # that hold sound; with none there is nothing to answer
    _missing: int = 0
    _probabilities: Array = field(default_factory=lambda: np.zeros(1))  # sums over the windows
    _embedding: Array = field(default_factory=lambda: np.zeros(1))

    @property
    def probabilities(self) -> Array:
        """[K], their mean."""
        return self._probabilities / self.windows

    @property
    def embedding(self) -> npt.NDArray[np.float32]:
        """[E], their mean, of unit length."""
        length = max(float(np.linalg.norm(self._embedding)), 1e-12)
        return (self._embedding / length).astype(np.float32)

    def add(self, probabilities: Array, embedding: Array) -> None:
        """One more of its windows is computed."""
        self._probabilities = self._probabilities + probabilities
        self._embedding = self._embedding + embedding
        self._missing -= 1

    @property
    def complete(self) -> bool:
        """Whether all its windows are computed."""
        return self._missing == 0


def average_windows(
    clips: Iterable[tuple[Owner, Samples]],
    run: Callable[[Batch[Any]], Outputs],
    window: int,
    batch_size: int,
    policy: Policy = "all",
    workers: int = 0,
) -> Iterator[ClipScores[Owner]]:
    """Scores of (owner, samples [S]), in order, as they come; clips share batches.

    Args:
        clips: whose they are, and their samples; with none, or silence, a clip has no windows.
        run: the model. Batches are numbered as they are made, which no thread has a say in.
        window: samples of one.
        batch_size: B.
        policy: ``all`` windows of a clip, or its ``first``.
        workers: threads that ``run`` is called from, if there is more than one batch.
    """
    waiting: deque[ClipScores[Owner]] = deque()

    def batches() -> Iterator[Batch[ClipScores[Owner]]]:
        held: list[tuple[ClipScores[Owner], Samples]] = []
        number = count()

        def batch() -> Batch[ClipScores[Owner]]:
            made = make_batch(held, window, next(number))
            held.clear()
            return made

        for owner, samples in clips:
            parts = speech(samples, window, policy)  # they keep what is still needed of the samples
            scores = ClipScores(owner, len(parts), len(parts))
            waiting.append(scores)
            for part in parts:
                held.append((scores, part))
                if len(held) == batch_size:
                    yield batch()
            silent = not parts and not held  # nothing to compute: an empty batch takes it along
            if silent or len(waiting) > _MAX_WAITING:
                yield batch()
        if held:
            yield batch()

    def computed(
        batch: Batch[ClipScores[Owner]],
    ) -> Iterator[tuple[ClipScores[Owner], Array, Array]]:
        if not batch.owners:
            return iter(())
        outputs = run(batch)
        return zip(batch.owners, outputs.probabilities, outputs.embedding, strict=True)

    for results in ordered_map(computed, batches(), workers):
        for scores, probabilities, embedding in results:
            scores.add(probabilities, embedding)
        while waiting and waiting[0].complete:
            yield waiting.popleft()
