"""Batches of windows for training and evaluation.

The order and the crops of an epoch depend only on the seed and the epoch's number, so a training
that was stopped within an epoch resumes with exactly the batches that it had left.

Shapes: B windows of a batch, W samples of a window.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from voxedge.audio.limits import Samples
from voxedge.audio.windows import Batch, Policy, active_windows, batches, cut_windows
from voxedge.data.corpus import Corpus, Entry
from voxedge.threads import ordered_map

_SMALLEST_BATCH = 8  # fewer windows give batch normalisation no usable statistics


@dataclass(frozen=True)
class TrainingSet:
    """The training side of a corpus.

    One pass over a small corpus has too few steps for the running statistics of batch
    normalisation to settle. If it has fewer than ``min_steps``, batches become smaller (down to
    8), and if that is not enough an epoch becomes several passes.

    Several processes have equal shares of every batch, in the order of their ranks. Of a last batch
    that cannot be shared, as many clips are dropped as are too many.

    Args:
        corpus: supplies the samples.
        entries: the clips to train on.
        largest_batch: B if there are enough clips.
        window: W.
        random_crop: take a random window of each longer clip instead of its first.
        seed: of the order and the crops.
        min_steps: steps that an epoch has at least.
        workers: threads that decode clips whose samples are not in memory; 0 for none.
        rank: of the process whose shares are loaded.
        ranks: processes; ``largest_batch`` is a multiple of their number.
    """

    corpus: Corpus
    entries: Sequence[Entry]
    largest_batch: int
    window: int
    random_crop: bool
    seed: int
    min_steps: int = 1
    workers: int = 0
    rank: int = 0
    ranks: int = 1

    @property
    def batch_size(self) -> int:
        """B, of all processes: ``largest_batch``, or less so that a pass has ``min_steps``."""
        enough = max(_SMALLEST_BATCH * self.ranks, len(self.entries) // self.min_steps)
        size = min(self.largest_batch, enough) if self.min_steps > 1 else self.largest_batch
        return size - size % self.ranks

    @property
    def clips(self) -> int:
        """Windows of an epoch: one of every clip, or several where ``min_steps`` requires it."""
        passes = math.ceil(self.min_steps * self.batch_size / len(self.entries))
        return len(self.entries) * (passes if self.min_steps > 1 else 1)

    @property
    def steps(self) -> int:
        """Batches of an epoch; a last one of one window each, without statistics, is dropped."""
        full, remaining = divmod(self.clips, self.batch_size)
        return full + (remaining >= 2 * self.ranks)

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch[int]]:
        """Yield the batches of an epoch from ``first_step`` on; their keys are class indices."""
        random = np.random.default_rng([self.seed, number])
        count = len(self.entries)
        order = np.concatenate([random.permutation(count) for _ in range(self.clips // count)])
        offsets = random.random(self.clips)  # drawn for all clips, so that steps can be skipped
        classes = {label: index for index, label in enumerate(self.corpus.labels)}

        def window_at(position: int) -> tuple[int, Samples]:
            entry = self.entries[order[position]]
            samples = self.corpus.samples(entry)
            spare = max(0, len(samples) - self.window)
            start = int(offsets[position] * (spare + 1)) if self.random_crop else 0
            return classes[entry.clip.speaker], samples[start : start + self.window]

        positions = chain.from_iterable(map(self._share, range(first_step, self.steps)))
        windows = ordered_map(window_at, positions, _useful(self.workers, self.entries))
        return batches(windows, self.batch_size // self.ranks, self.window)

    def _share(self, step: int) -> range:
        """Positions in the order of an epoch of this process's share of a batch."""
        start = step * self.batch_size
        share = min(self.batch_size, self.clips - start) // self.ranks
        return range(start + self.rank * share, start + (self.rank + 1) * share)


def evaluation_batches(
    corpus: Corpus,
    entries: Sequence[Entry],
    batch_size: int,
    window: int,
    policy: Policy = "all",
    workers: int = 0,
) -> Iterator[Batch[int]]:
    """Yield batches of the windows of clips, cut as in inference; keys are indices of ``entries``.

    A clip without sound contributes its first window.
    """
    decoded = ordered_map(corpus.samples, entries, _useful(workers, entries))
    windows = (
        (index, cropped)
        for index, samples in enumerate(decoded)
        for cropped in active_windows(samples, window, corpus.sample_rate, policy)
        or cut_windows(samples, window, "first")
    )
    return batches(windows, batch_size, window)


def _useful(workers: int, entries: Sequence[Entry]) -> int:
    """Threads pay off only if clips must be decoded again."""
    return workers if any(entry.held is None for entry in entries) else 0
