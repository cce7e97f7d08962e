"""Embeddings of clips and of degraded copies of them: computed once, kept on disk.

A table is the windows of some clips, or a degraded copy of one window of each. It is computed and
written in blocks of clips, so that a training which is stopped goes on with the next block. Which
noise or room a copy gets follows from its number and not from the seed of the training, so that
trainings with other seeds find everything done.

Shapes: N windows, B of a batch, S samples, W samples of a window, E embedding.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from voxedge.audio.limits import Samples
from voxedge.audio.windows import Batch, Policy, batches
from voxedge.data.corpus import Corpus, Entry
from voxedge.data.dataset import evaluation_batches
from voxedge.files import atomic_write
from voxedge.nn.augment import WaveAugment
from voxedge.threads import ordered_map
from voxedge.train.pretrained.trunk import Trunk

_VERSION = 1  # of what a copy is: another one computes everything anew
_BLOCK = 256  # clips
_BATCH = 8  # windows for the trunk: more of them do not run faster
_DEGRADED = 32  # clips that are degraded at a time: a babble is made of the others

_Floats: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Table:
    """Some clips, all of them treated alike.

    Args:
        name: unique.
        entries: the clips.
        windows: which windows of each clip, as they are.
        augment: degrades one random window of each clip instead.
        number: of the degraded copy.
    """

    name: str
    entries: Sequence[Entry]
    windows: Policy = "all"
    augment: WaveAugment | None = None
    number: int = 0


class Embedded(NamedTuple):
    """The embeddings of a table."""

    vectors: _Floats  # [N, E], unit length
    clip_index: npt.NDArray[np.intp]  # [N], among the table's entries


class EmbeddingCache:
    """A folder of embeddings.

    Args:
        folder: of all caches; this one is in a folder named by what decides its content.
        trunk: embeds.
        corpus: has the samples.
        augment: of the recipe, with its noises and rooms.
        workers: threads that embed.
        between: called after every batch, and may raise.
    """

    def __init__(
        self,
        folder: Path,
        trunk: Trunk,
        corpus: Corpus,
        augment: WaveAugment | None,
        workers: int,
        between: Callable[[], None],
    ) -> None:
        self.folder = folder / _key(trunk, corpus, augment)
        self.trunk, self.corpus, self.workers, self.between = trunk, corpus, workers, between
        self.computed = 0  # windows that were not on disk

    def tables(
        self, tables: Sequence[Table], progress: Callable[[int, int], None]
    ) -> dict[str, Embedded]:
        """The embeddings of tables, by their names.

        Args:
            tables: what to read, or to compute.
            progress: called with (clips done, all clips) of all tables.
        """
        total, done = sum(len(table.entries) for table in tables), 0
        found: dict[str, Embedded] = {}
        for table in tables:
            blocks = []
            for first in range(0, len(table.entries), _BLOCK):
                block = table.entries[first : first + _BLOCK]
                path = self.folder / f"{table.name}-{_digest(block)}.npz"
                embedded = _read(path)
                if embedded is None:
                    embedded = self._compute(table, block, partial(_report, progress, done, total))
                    _write(path, embedded)
                blocks.append(embedded._replace(clip_index=embedded.clip_index + first))
                done += len(block)
                progress(done, total)
            found[table.name] = Embedded(
                *(np.concatenate(parts) for parts in zip(*blocks, strict=True))
            )
        return found

    def _compute(
        self, table: Table, block: Sequence[Entry], progress: Callable[[int], None]
    ) -> Embedded:
        window = self.trunk.metadata.window
        if table.augment is None:
            inputs = evaluation_batches(
                self.corpus, block, _BATCH, window, table.windows, self.workers
            )
        else:
            inputs = batches(self._degraded(table, block, window), _BATCH, window)
        vectors: list[_Floats] = []
        clip_index: list[int] = []

        def embed(batch: Batch[int]) -> tuple[_Floats, tuple[int, ...]]:
            return self.trunk.embed(batch), batch.keys

        for rows, keys in ordered_map(embed, inputs, self.workers):
            vectors.append(rows)
            clip_index += keys
            self.computed += len(keys)
            progress(keys[-1])
            self.between()
        return Embedded(np.concatenate(vectors), np.array(clip_index))

    def _degraded(
        self, table: Table, block: Sequence[Entry], window: int
    ) -> Iterator[tuple[int, Samples]]:
        """A random window of each clip, degraded."""
        assert table.augment is not None
        random = np.random.default_rng([table.number, int(_digest(block), 16)])
        generator = torch.Generator().manual_seed(int(random.integers(1 << 62)))

        def cropped() -> Iterator[tuple[int, Samples]]:
            for index, place in enumerate(random.random(len(block))):
                samples = self.corpus.samples(block[index])
                start = int(place * (max(0, len(samples) - window) + 1))
                yield index, samples[start : start + window]

        device = table.augment.rooms.device
        for batch in batches(cropped(), _DEGRADED, window):
            pcm, lengths = (
                torch.from_numpy(array).to(device) for array in (batch.pcm, batch.lengths)
            )
            with torch.inference_mode():
                rows = table.augment(pcm, lengths, generator).cpu().numpy()
            yield from zip(batch.keys, rows, strict=True)


def _report(progress: Callable[[int, int], None], before: int, total: int, clips: int) -> None:
    progress(before + clips, total)


def _key(trunk: Trunk, corpus: Corpus, augment: WaveAugment | None) -> str:
    """What decides an embedding, but for the clip and the number of its copy."""
    about: list[object] = [_VERSION, trunk.metadata.digest, corpus.sample_rate]
    if augment is not None:
        sounds = hashlib.sha256(augment.rooms.cpu().numpy().tobytes())
        for noise in augment.noises:
            sounds.update(noise.numpy().tobytes())
        about += [asdict(augment.degradations), sounds.hexdigest()]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def _digest(block: Sequence[Entry]) -> str:
    return hashlib.sha256("".join(entry.digest for entry in block).encode()).hexdigest()[:16]


def _read(path: Path) -> Embedded | None:
    """What is in a file; None if it is missing or damaged: then it is computed anew."""
    try:
        with np.load(path) as stored:
            return Embedded(stored["vectors"], stored["clip_index"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, embedded: Embedded) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        np.savez(file, **embedded._asdict())
