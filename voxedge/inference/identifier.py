"""Answers names for clips: ONNX Runtime, NumPy, and nothing else.

The model file is verified before ONNX Runtime sees it (``voxedge.model_file``), and
providers and shapes are read back after (``voxedge.inference.session``).

Shapes: B windows of a batch, W samples of a window, K classes, E embedding.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from voxedge.audio import load as audio
from voxedge.audio.limits import Limits, Samples
from voxedge.audio.load import Source
from voxedge.audio.windows import Batch, Policy, as_buffer
from voxedge.errors import (
    ModelError,
    NonFiniteOutput,
    UsageError,
    VoxedgeError,
)
from voxedge.inference.fixed_batches import PREPARING, Run, in_few_sizes
from voxedge.inference.scoring import ClipScores, Key, Outputs, score_clips
from voxedge.inference.session import PROVIDERS, check_interface, open_session
from voxedge.model_file.reader import read_model
from voxedge.threads import available_processors, ordered_map

DEFAULT_MODEL = "model.onnx"
MODEL_VARIABLE = "VOXEDGE_MODEL"

_MAX_BATCH, _MAX_THREADS = 4_096, 1_024  # a slip of the finger must not take the machine down
_MANY = 16  # batches, beyond which a second session is worth what it takes to open

_NOTHING = np.zeros(0, np.float32)


class Score(NamedTuple):
    """A speaker and how probable the model holds it, 0 to 1."""

    speaker: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The answer for one clip."""

    path: str
    seconds: float
    speaker: str | None  # None: the model does not know
    predictions: tuple[Score, ...]  # best first
    windows: int
    model: str
    provider: str
    reason: str | None = None  # why there is no speaker: "low_energy"
    warnings: tuple[str, ...] = ()
    embedding: npt.NDArray[np.float32] | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The record that ``voxedge identify --json`` prints."""
        record: dict[str, Any] = {
            "path": self.path,
            "seconds": round(self.seconds, 3),
            "speaker": self.speaker,
            "predictions": [
                {"speaker": name, "probability": round(probability, 6)}
                for name, probability in self.predictions
            ],
            "windows": self.windows,
            "model": self.model,
            "provider": self.provider,
        }
        if self.reason:
            record["reason"] = self.reason
        if self.warnings:
            record["warnings"] = list(self.warnings)
        return record


@dataclass(frozen=True)
class Failure:
    """A clip without an answer; the other clips of the call have theirs."""

    path: str
    error: VoxedgeError

    def to_dict(self) -> dict[str, Any]:
        """The record that ``voxedge identify --json`` prints."""
        return {"path": self.path, "error": {"code": self.error.code, "message": str(self.error)}}


class Identifier:
    """A model file, loaded and ready; safe to share between threads.

    Args:
        model: the file; without it ``$VOXEDGE_MODEL``, else ``model.onnx``.
        device: a key of ``voxedge.inference.session.PROVIDERS``, or ``auto``: CUDA where it loads,
            else the CPU.
        threads: that compute; without it, the processors this process may use. All of them share
            one inference, but many batches on a CPU are computed side by side, one on each.
        batch_size: windows that are computed together.
        limits: what clips are refused.
        strict: refuse clips that are cut off instead of warning.

    Raises:
        ModelError: the file is missing or must not be trusted.
        ProviderUnavailable: no ONNX Runtime, or a device asked for by name did not load.
        UsageError: an unknown device, or an impossible number.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        batch_size: int = 8,
        limits: Limits | None = None,
        strict: bool = False,
    ) -> None:
        if not 1 <= batch_size <= _MAX_BATCH:
            raise UsageError(f"batch_size must be 1 to {_MAX_BATCH}, not {batch_size}")
        if threads is not None and not 1 <= threads <= _MAX_THREADS:
            raise UsageError(f"threads must be 1 to {_MAX_THREADS}, not {threads}")
        self.batch_size = batch_size
        self.threads = threads or available_processors()
        path = model or default_model()
        self.model_file = read_model(os.fspath(path))
        self.metadata = self.model_file.metadata
        self._limits = limits or Limits(min_seconds=self.metadata.min_seconds)
        self._strict = strict
        session, self.notes = self._opened(device, self.threads)
        self.providers: tuple[str, ...] = tuple(session.get_providers())
        self._compute: Run = session.run
        if self.providers[0] in PREPARING:
            self._compute = in_few_sizes(session.run, batch_size)
        beside = self.providers[0] == PROVIDERS["cpu"] and self.threads > 1
        self._side_by_side = self.threads if beside else 0
        self._compute_alone: Run | None = None
        self._opening = Lock()

    @property
    def labels(self) -> tuple[str, ...]:
        """The speakers it knows, in class order."""
        return self.metadata.labels

    @property
    def sample_rate(self) -> int:
        """Hz, of the samples that ``run`` takes."""
        return self.metadata.sample_rate

    def identify(
        self,
        source: Source | npt.ArrayLike,
        *,
        sample_rate: int | None = None,
        top_k: int = 5,
        windows: Policy = "all",
    ) -> Prediction:
        """Who speaks in one clip.

        Args:
            source: a path, the bytes of a file, a binary file, or samples: [S] or [S, channels],
                float in [-1, 1] or integers.
            sample_rate: Hz, of samples; without it the model's own. Files say theirs.
            top_k: guesses to give.
            windows: ``all`` averages half-overlapping windows of a long clip, ``first`` takes one.

        Raises:
            AudioError: one of its kinds, for a clip that cannot be used.
        """
        item = _Item(source, sample_rate)
        (answer,) = self._answers([item], top_k, windows, workers=0)
        if isinstance(answer, Failure):
            raise answer.error
        return answer

    def identify_many(
        self,
        sources: Iterable[Source],
        *,
        top_k: int = 5,
        windows: Policy = "all",
        workers: int | None = None,
    ) -> Iterator[Prediction | Failure]:
        """Who speaks in each of many clips, in order, as the answers come.

        Decoding runs on ``workers`` threads beside inference, windows of different clips share
        batches, and only a few clips are in memory at a time. A clip that cannot be used gives a
        ``Failure`` with its ``path`` and ``error``.
        """
        if isinstance(sources, str | bytes | os.PathLike):
            raise UsageError("identify_many takes several clips", f"pass a list: [{sources!r}]")
        items = (_Item(source, None) for source in sources)
        return self._answers(items, top_k, windows, self.threads if workers is None else workers)

    def run(self, pcm: Samples, lengths: npt.NDArray[np.int64] | None = None) -> Outputs:
        """The model itself: mono samples [B, S] at ``sample_rate`` Hz, valid ones of each row [B].

        They are handed over as the file wants them, if it was made for a device's own buffer.
        """
        return self._outputs(self._compute, pcm, lengths)

    def _outputs(
        self, compute: Run, pcm: Samples, lengths: npt.NDArray[np.int64] | None
    ) -> Outputs:
        feeds = {"pcm": as_buffer(pcm, self.metadata.dtype, self.metadata.channels)}
        if lengths is not None:
            feeds["lengths"] = np.ascontiguousarray(lengths, np.int64)
        try:
            outputs = Outputs(*compute(list(Outputs._fields), feeds))
        except Exception as error:  # noqa: BLE001 - it raises a dozen types for a bad model
            raise ModelError(f"ONNX Runtime cannot run the model: {str(error)[:300]}") from None
        classes, width = len(self.labels), self.metadata.embedding_dim
        shapes = [(len(pcm), classes), (len(pcm), classes), (len(pcm), width)]
        if [output.shape for output in outputs] != shapes:
            raise ModelError(f"the model's outputs are not of the shapes {shapes}")
        return outputs

    def score(
        self, clips: Iterable[tuple[Key, Samples]], windows: Policy = "all"
    ) -> Iterator[ClipScores[Key]]:
        """Probabilities of (key, samples [S] at ``sample_rate`` Hz), taken as they are."""

        def run(batch: Batch[Any]) -> Outputs:
            many = self._side_by_side and batch.number >= _MANY
            compute = self._alone() if many else self._compute
            return self._outputs(compute, batch.pcm, batch.lengths)

        window, workers = self.metadata.window, self._side_by_side
        return score_clips(clips, run, window, self.batch_size, windows, workers)

    def _opened(self, device: str, threads: int) -> tuple[Any, tuple[str, ...]]:
        """A session of the very file that was verified, and what there is to say about it."""
        session, notes = open_session(self.model_file.path, device, threads)
        self.model_file.require_unchanged()
        check_interface(session, self.metadata)
        return session, notes

    def _alone(self) -> Run:
        """Inference on the caller's thread alone; as ever, if the file is no longer the same."""
        with self._opening:
            if self._compute_alone is None:
                try:
                    self._compute_alone = self._opened("cpu", 1)[0].run
                except ModelError:
                    self._compute_alone = self._compute
            return self._compute_alone

    def _answers(
        self, items: Iterable[_Item], top_k: int, policy: Policy, workers: int
    ) -> Iterator[Prediction | Failure]:
        if top_k < 1:
            raise UsageError(f"top_k must be at least 1, not {top_k}")
        if policy not in ("all", "first"):
            raise UsageError(f"windows: all or first, not {policy!r}")
        clips = ordered_map(self._decoded, items, workers)
        for scores in self.score(clips, policy):
            yield self._answer(scores, top_k)

    def _decoded(self, item: _Item) -> tuple[_Job, Samples]:
        source, path = item.source, _name(item.source)
        try:
            if isinstance(source, bytearray | memoryview):
                source = bytes(source)
            if isinstance(source, str | os.PathLike | bytes) or hasattr(source, "read"):
                decoded = audio.decode(source, self.sample_rate, self._limits, self._strict)
            else:
                rate = item.sample_rate or self.sample_rate
                decoded = audio.from_array(source, rate, self.sample_rate, self._limits)
        except VoxedgeError as error:
            return _Job(path, error=error), _NOTHING
        return _Job(path, decoded.seconds, decoded.warnings), decoded.samples

    def _answer(self, scores: ClipScores[_Job], top_k: int) -> Prediction | Failure:
        job = scores.key
        if job.error is not None:
            return Failure(job.path, job.error)
        common: dict[str, Any] = {
            "path": job.path,
            "seconds": job.seconds,
            "windows": scores.windows,
            "model": self.model_file.path.name,
            "provider": self.providers[0],
            "warnings": job.warnings,
        }
        if scores.windows == 0:
            return Prediction(speaker=None, predictions=(), reason="low_energy", **common)
        probabilities, embedding = scores.probabilities, scores.embedding
        if not (np.isfinite(probabilities).all() and np.isfinite(embedding).all()):
            return Failure(job.path, NonFiniteOutput("the model's answer is not a number"))
        best = np.argsort(-probabilities, kind="stable")[:top_k]
        guesses = tuple(Score(self.labels[k], float(probabilities[k])) for k in best)
        return Prediction(
            speaker=guesses[0].speaker, predictions=guesses, embedding=embedding, **common
        )


def default_model() -> str:
    """The model file that is used where none is named."""
    return os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL


class _Item(NamedTuple):
    source: Any
    sample_rate: int | None


class _Job(NamedTuple):
    """What is known of a clip beside its samples."""

    path: str
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    error: VoxedgeError | None = None


def _name(source: object) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(os.fspath(source))
    return "-"
