"""Batches of windows for training and measuring, from a corpus in memory or on disk.

Order and crops of an epoch follow from the seed and the epoch's number alone, so training can go on
from the middle of an epoch exactly as if it had never stopped.

Shapes: B windows of a batch, W samples of a window.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from voxedge.audio.limits import Samples
from voxedge.audio.windows import Batch, Policy, batches, cut, speech
from voxedge.data.corpus import Corpus, Entry
from voxedge.threads import ordered_map

_SMALLEST_BATCH = 8  # that batch normalisation still works with


@dataclass(frozen=True)
class TrainingSet:
    """The training side of a corpus.

    A small corpus gives few steps a pass, too few for batch normalisation to settle. So where a
    pass would have fewer than ``min_steps``, batches get smaller (down to 8), and then an epoch
    is several passes.

    Args:
        corpus: where the samples come from.
        entries: the clips to train on.
        largest_batch: B, where there are clips enough.
        window: W.
        random_crop: a random window of each longer clip, else its first.
        seed: of order and crops.
        min_steps: of an epoch.
        workers: threads that decode the clips which memory does not hold; 0 for none.
    """

    corpus: Corpus
    entries: Sequence[Entry]
    largest_batch: int
    window: int
    random_crop: bool
    seed: int
    min_steps: int = 1
    workers: int = 0

    @property
    def batch_size(self) -> int:
        """B."""
        enough = max(_SMALLEST_BATCH, len(self.entries) // self.min_steps)
        return min(self.largest_batch, enough) if self.min_steps > 1 else self.largest_batch

    @property
    def clips(self) -> int:
        """Windows of an epoch: every clip once, or as often as ``min_steps`` asks for."""
        passes = math.ceil(self.min_steps * self.batch_size / len(self.entries))
        return len(self.entries) * (passes if self.min_steps > 1 else 1)

    @property
    def steps(self) -> int:
        """Batches of an epoch; a single clip left over is dropped: it has no batch statistics."""
        full, rest = divmod(self.clips, self.batch_size)
        return full + (rest >= 2)

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch[int]]:
        """The batches of an epoch from ``first_step`` on; the keys are class indices."""
        random = np.random.default_rng([self.seed, number])
        count = len(self.entries)
        order = np.concatenate([random.permutation(count) for _ in range(self.clips // count)])
        places = random.random(self.clips)  # drawn for all, so that no step shifts another
        classes = {label: index for index, label in enumerate(self.corpus.labels)}

        def window_of(turn: int) -> tuple[int, Samples]:
            entry = self.entries[order[turn]]
            samples = self.corpus.samples(entry)
            spare = max(0, len(samples) - self.window)
            start = int(places[turn] * (spare + 1)) if self.random_crop else 0
            return classes[entry.clip.speaker], samples[start : start + self.window]

        turns = range(first_step * self.batch_size, min(self.clips, self.steps * self.batch_size))
        windows = ordered_map(window_of, turns, _useful(self.workers, self.entries))
        return batches(windows, self.batch_size, self.window)


def evaluation_batches(
    corpus: Corpus,
    entries: Sequence[Entry],
    batch_size: int,
    window: int,
    policy: Policy = "all",
    workers: int = 0,
) -> Iterator[Batch[int]]:
    """The windows of every clip as the runtime cuts them; keys are positions in ``entries``."""
    decoded = ordered_map(corpus.samples, entries, _useful(workers, entries))
    windows = (
        (index, part)
        for index, samples in enumerate(decoded)
        for part in speech(samples, window, policy) or cut(samples, window, "first")
    )
    return batches(windows, batch_size, window)


def _useful(workers: int, entries: Sequence[Entry]) -> int:
    """Threads help where clips are decoded again; for those in memory they only cost."""
    return workers if any(entry.held is None for entry in entries) else 0
