"""What the teacher says of clips and of other voices made of them: computed once, kept on disk.

A variation is every clip once: the first one as recorded, the others each with its own speed and
formants, so that few recordings are many voices. The student reads the same samples.

Shapes: N clips, S samples of a clip, E dimensions of the teacher's embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import soxr
import torch

from voxedge.audio.limits import Samples
from voxedge.data.corpus import Corpus, Entry
from voxedge.errors import RunError
from voxedge.files import atomic_write
from voxedge.inference.scoring import ClipScores
from voxedge.nn.voices import shift_formants
from voxedge.threads import ordered_map
from voxedge.train.distill.settings import Distillation

_FULL_SCALE = 32_767.0
_LONGEST = 8  # seconds of a clip that are used

Progress = Callable[[int, int], None]


class Teacher(Protocol):
    """A model of embeddings, such as ``voxedge.inference.identifier.Identifier``."""

    @property
    def sample_rate(self) -> int:
        """Hz."""

    def score(self, clips: Any) -> Iterator[ClipScores[Any]]:  # noqa: ANN401 - (key, samples) pairs
        """Yield the scores of (key, samples [S]) pairs, in order."""


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
class Variation:
    """Samples and embeddings of one variation.

    Args:
        samples: int16 of all clips, one after the other; on disk.
        bounds: int64 [N + 1], where in ``samples`` each clip begins.
        embeddings: float32 [N, E], not normalised.
    """

    samples: npt.NDArray[np.int16]
    bounds: npt.NDArray[np.int64]
    embeddings: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.embeddings)

    def crop(self, index: int, start: float, length: int) -> Samples:
        """At most ``length`` samples of a clip; ``start`` is a fraction of what can be skipped."""
        first, end = self.bounds[index], self.bounds[index + 1]
        first += int(start * max(0, end - first - length))
        cropped = self.samples[first : min(end, first + length)]
        return cropped.astype(np.float32) / np.float32(_FULL_SCALE)


def variation(
    folder: Path,
    number: int,
    clips: Clips,
    teacher: Teacher,
    settings: Distillation,
    seed: int,
    *,
    workers: int = 0,
    progress: Progress = lambda _done, _all: None,
) -> Variation:
    """Read a variation, or make it: it is complete if its ``.npz`` is there.

    Args:
        folder: of the variations.
        number: 0 for clips as recorded.
        clips: to vary.
        teacher: is asked about the varied clips.
        settings: ranges of speed and formants.
        seed: of both.
        workers: threads that vary clips.
        progress: called with (clips done, all clips).

    Raises:
        RunError: what is there is of other clips, or damaged.
    """
    path = folder / f"{number:03d}.npz"
    if not path.is_file():
        _make(path, number, clips, teacher, settings, seed, workers, progress)
    try:
        with np.load(path) as stored:
            bounds, embeddings = stored["bounds"], stored["embeddings"]
        samples = np.load(_samples_path(path), mmap_mode="r")
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{path} is damaged: {error}", f"delete {path}") from None
    if len(embeddings) != len(clips.entries) or len(samples) != bounds[-1]:
        raise RunError(f"{path} is of other clips", f"delete {folder}, or name another --out")
    return Variation(samples, bounds, embeddings)


def _make(
    path: Path,
    number: int,
    clips: Clips,
    teacher: Teacher,
    settings: Distillation,
    seed: int,
    workers: int,
    progress: Progress,
) -> None:
    count = len(clips.entries)
    lengths: list[int] = []
    embeddings: list[npt.NDArray[np.float32]] = []

    def varied(index: int) -> npt.NDArray[np.int16]:
        samples = clips.samples(index)
        if number:
            random = np.random.default_rng([seed, number, index])
            speed, formants = (
                float(np.exp(random.uniform(*np.log(span))))
                for span in (settings.speeds, settings.formants)
            )
            samples = _as_another_voice(samples, clips.sample_rate, speed, formants)
        peak = max(1.0, float(np.abs(samples).max()))
        return np.rint(samples * (_FULL_SCALE / peak)).astype(np.int16)

    def shown(file: Any) -> Iterator[tuple[int, Samples]]:  # noqa: ANN401 - a binary file
        for index, samples in enumerate(ordered_map(varied, range(count), workers)):
            file.write(samples.data)
            lengths.append(len(samples))
            yield index, samples.astype(np.float32) / np.float32(_FULL_SCALE)

    raw = _samples_path(path).with_suffix(".tmp")
    with raw.open("wb") as file:
        for done, scores in enumerate(teacher.score(shown(file)), 1):
            embeddings.append(scores.embedding)
            progress(done, count)
    samples = np.memmap(raw, np.int16, mode="r")
    with atomic_write(_samples_path(path)) as file:
        np.save(file, samples)
    raw.unlink()
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    with atomic_write(path) as file:
        np.savez(file, bounds=bounds, embeddings=np.stack(embeddings).astype(np.float32))


def _as_another_voice(samples: Samples, rate: int, speed: float, formants: float) -> Samples:
    faster = np.ascontiguousarray(soxr.resample(samples, rate * speed, rate), np.float32)
    shifted: Samples = shift_formants(torch.from_numpy(faster), formants).numpy()
    return shifted


def _samples_path(path: Path) -> Path:
    return path.with_suffix(".npy")


def centred(variations: Sequence[Variation]) -> tuple[torch.Tensor, torch.Tensor]:
    """The targets: embeddings without the mean of the first variation, normalised, and that mean.

    A teacher's embeddings may have a large common part, which a student would learn first and which
    tells nobody apart.
    """
    mean = torch.from_numpy(variations[0].embeddings).mean(dim=0)
    embeddings = torch.cat([torch.from_numpy(each.embeddings) for each in variations])
    return torch.nn.functional.normalize(embeddings - mean, dim=1), mean
