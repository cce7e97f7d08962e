"""Batches of windows for training and measuring, from a corpus in memory or on disk.

Order and crops of an epoch follow from the seed and the epoch's number alone, so training can go on
from the middle of an epoch exactly as if it had never stopped.

Shapes: B windows of a batch, W samples of a window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from voxedge.audio import Samples
from voxedge.data.corpus import Corpus, Entry
from voxedge.parallel import ordered_map
from voxedge.windows import Batch, Policy, batches, cut


@dataclass(frozen=True)
class TrainingSet:
    """The training side of a corpus.

    Args:
        corpus: where the samples come from.
        entries: the clips to train on.
        batch_size: B.
        window: W.
        random_crop: a random window of each longer clip, else its first.
        seed: of order and crops.
        workers: threads that decode the clips which memory does not hold; 0 for none.
    """

    corpus: Corpus
    entries: Sequence[Entry]
    batch_size: int
    window: int
    random_crop: bool
    seed: int
    workers: int = 0

    @property
    def steps(self) -> int:
        """Batches of an epoch; a single clip left over is dropped: it has no batch statistics."""
        full, rest = divmod(len(self.entries), self.batch_size)
        return full + (rest >= 2)

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch[int]]:
        """The batches of an epoch from ``first_step`` on; the owners are class indices."""
        random = np.random.default_rng([self.seed, number])
        order = random.permutation(len(self.entries))
        places = random.random(len(self.entries))  # drawn for all, so that no step shifts another
        classes = {label: index for index, label in enumerate(self.corpus.labels)}

        def window_of(index: int) -> tuple[int, Samples]:
            entry = self.entries[index]
            samples = self.corpus.samples(entry)
            spare = max(0, len(samples) - self.window)
            start = int(places[index] * (spare + 1)) if self.random_crop else 0
            return classes[entry.clip.speaker], samples[start : start + self.window]

        wanted = order[first_step * self.batch_size : self.steps * self.batch_size]
        windows = ordered_map(window_of, wanted.tolist(), _useful(self.workers, self.entries))
        return batches(windows, self.batch_size, self.window)


def evaluation_batches(
    corpus: Corpus,
    entries: Sequence[Entry],
    batch_size: int,
    window: int,
    policy: Policy = "all",
    workers: int = 0,
) -> Iterator[Batch[int]]:
    """Every window of every clip in order; the owners are positions in ``entries``."""
    decoded = ordered_map(corpus.samples, entries, _useful(workers, entries))
    windows = (
        (index, part)
        for index, samples in enumerate(decoded)
        for part in cut(samples, window, policy)
    )
    return batches(windows, batch_size, window)


def _useful(workers: int, entries: Sequence[Entry]) -> int:
    """Threads help where clips are decoded again; for those in memory they only cost."""
    return workers if any(entry.held is None for entry in entries) else 0
