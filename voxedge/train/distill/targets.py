"""What the teacher says of clips and of other voices made of them: computed once, kept on disk.

A variation is every clip once: the first one as recorded, the others each with its own speed and
formants, so that few recordings are many voices. The student reads the same samples, the teacher
the first window of each clip. A variation is
stored in shards of 1,000 clips, so that a stop loses little.

Shapes: N clips, S samples of a clip, E dimensions of the teacher's embedding.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import soxr
import torch

from voxedge.audio.limits import Samples
from voxedge.audio.windows import Policy
from voxedge.data.corpus import Corpus, Entry
from voxedge.errors import RunError
from voxedge.files import atomic_write
from voxedge.inference.scoring import ClipScores
from voxedge.nn.voices import shift_formants
from voxedge.threads import ordered_map
from voxedge.train.distill.settings import Distillation

SHARD = 1_000  # clips
_FULL_SCALE = 32_767.0
_LONGEST = 8  # seconds of a clip that are used


class Model(Protocol):
    """A model of embeddings, such as ``voxedge.inference.identifier.Identifier``."""

    def score(
        self, clips: Iterable[tuple[Any, Samples]], windows: Policy
    ) -> Iterator[ClipScores[Any]]:
        """Yield the scores of (key, samples [S]) pairs, in order."""


@dataclass(frozen=True)
class Teacher:
    """A model of embeddings, and what has to be known of it before it is asked."""

    model: Model
    digest: str  # of its file
    sample_rate: int  # Hz
    embedding_dim: int  # E


@dataclass(frozen=True)
class Clips:
    """Clips to learn from, of one or more corpora of one rate."""

    sample_rate: int
    entries: tuple[tuple[Corpus, Entry], ...]

    def samples(self, index: int) -> Samples:
        """Samples [S] of a clip, at most its first 8 s."""
        corpus, entry = self.entries[index]
        return corpus.samples(entry)[: _LONGEST * self.sample_rate]


@dataclass(frozen=True)
class _Shard:
    samples: npt.NDArray[np.int16]  # of all clips, one after the other; on disk
    bounds: npt.NDArray[np.int64]  # where in them each clip begins, and the end


@dataclass(frozen=True)
class Variation:
    """Samples and embeddings of one variation.

    Args:
        shards: of the samples.
        embeddings: float32 [N, E], the teacher's, of unit length; zeros for a clip without sound.
    """

    shards: tuple[_Shard, ...]
    embeddings: npt.NDArray[np.float32]

    def samples(self, index: int) -> Samples:
        """Samples [S] of a clip."""
        return self.crop(index, 0.0, _LONGEST * (1 << 20))

    def crop(self, index: int, start: float, length: int) -> Samples:
        """At most ``length`` samples of a clip; ``start`` is a fraction of what can be skipped."""
        shard, row = self.shards[index // SHARD], index % SHARD
        first, end = shard.bounds[row], shard.bounds[row + 1]
        first += int(start * max(0, end - first - length))
        cropped = shard.samples[first : min(end, first + length)]
        return cropped.astype(np.float32) / np.float32(_FULL_SCALE)


class Targets:
    """The variations of clips, in a folder.

    Args:
        folder: of the files, which is made.
        clips: to vary.
        teacher: is asked about the varied clips.
        settings: ranges of speed and formants.
        seed: of both.
        workers: threads that vary clips.
        between: called after every shard, and may raise.
        progress: called with (variation, clips done).
    """

    def __init__(
        self,
        folder: Path,
        clips: Clips,
        teacher: Teacher,
        settings: Distillation,
        seed: int,
        *,
        workers: int = 0,
        between: Callable[[], None] = lambda: None,
        progress: Callable[[int, int], None] = lambda _number, _done: None,
    ) -> None:
        self.folder, self.clips, self.teacher = folder, clips, teacher
        self.settings, self.seed, self.workers = settings, seed, workers
        self.between, self.progress = between, progress
        folder.mkdir(parents=True, exist_ok=True)

    def variation(self, number: int) -> Variation:
        """Read a variation, or make what is missing of it; 0 has the clips as recorded.

        Raises:
            RunError: what is there is of other clips, or damaged.
        """
        shards, embeddings = [], []
        count = len(self.clips.entries)
        for first in range(0, count, SHARD):
            indices = range(first, min(first + SHARD, count))
            path = self.folder / f"{number:03d}-{first // SHARD:04d}.npz"
            if not path.is_file():
                self._make(path, number, indices)
                self.between()
            shard, found = _read(path, len(indices), self.teacher.embedding_dim)
            shards.append(shard)
            embeddings.append(found)
        return Variation(tuple(shards), np.concatenate(embeddings))

    def _make(self, path: Path, number: int, indices: range) -> None:
        """Write a shard; it is complete if its ``.npz`` is there."""
        varied: list[npt.NDArray[np.int16]] = []

        def shown() -> Iterator[tuple[int, Samples]]:
            made = ordered_map(partial(self._varied, number), indices, self.workers)
            for index, samples in zip(indices, made, strict=True):
                varied.append(samples)
                yield index, samples.astype(np.float32) / np.float32(_FULL_SCALE)

        embeddings = np.zeros((len(indices), self.teacher.embedding_dim), np.float32)
        for row, scores in enumerate(self.teacher.model.score(shown(), "first")):
            if scores.windows and np.isfinite(scores.embedding).all():
                embeddings[row] = scores.embedding
            self.progress(number, indices[0] + row + 1)
        bounds = np.concatenate([[0], np.cumsum([len(each) for each in varied])])
        with atomic_write(path.with_suffix(".npy")) as file:
            np.save(file, np.concatenate(varied))
        with atomic_write(path) as file:
            np.savez(file, bounds=bounds.astype(np.int64), embeddings=embeddings)

    def _varied(self, number: int, index: int) -> npt.NDArray[np.int16]:
        samples, rate = self.clips.samples(index), self.clips.sample_rate
        if number:
            random = np.random.default_rng([self.seed, number, index])
            speed, formants = (
                float(np.exp(random.uniform(*np.log(span))))
                for span in (self.settings.speeds, self.settings.formants)
            )
            faster = np.ascontiguousarray(soxr.resample(samples, rate * speed, rate), np.float32)
            samples = shift_formants(torch.from_numpy(faster), formants).numpy()
        peak = max(1.0, float(np.abs(samples).max()))
        scaled: npt.NDArray[np.int16] = np.rint(samples * (_FULL_SCALE / peak)).astype(np.int16)
        return scaled


def _read(path: Path, clips: int, embedding_dim: int) -> tuple[_Shard, npt.NDArray[np.float32]]:
    try:
        with np.load(path) as stored:
            bounds, embeddings = stored["bounds"], stored["embeddings"]
        samples = np.load(path.with_suffix(".npy"), mmap_mode="r")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(f"{path} is damaged: {error}", f"delete {path}") from None
    if embeddings.shape != (clips, embedding_dim) or len(samples) != bounds[-1]:
        raise RunError(f"{path} is of other clips or another teacher", f"delete {path.parent}")
    return _Shard(samples, bounds), embeddings


def centred(variations: Sequence[Variation], kept: npt.NDArray[np.int64]) -> torch.Tensor:
    """The targets [variations, N, E]: embeddings less their mean, of unit length.

    A teacher's embeddings may have a large common part, which a student would learn first and which
    tells nobody apart.

    Args:
        variations: of the clips.
        kept: the clips that are trained on, whose mean in the first variation is taken off.
    """
    embeddings = torch.stack([torch.from_numpy(each.embeddings) for each in variations])
    mean = embeddings[0, torch.from_numpy(kept)].mean(dim=0)
    return torch.nn.functional.normalize(embeddings - mean, dim=2)
