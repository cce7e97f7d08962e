"""Identify the speakers of clips with a model file, through ONNX Runtime and NumPy alone.

The file is verified before ONNX Runtime opens it (``voxedge.model_file``); execution providers and
shapes are checked after (``voxedge.inference.session``).

Shapes: B windows of a batch, S samples, K classes, E embedding.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from voxedge import base
from voxedge.audio.limits import Limits, Samples
from voxedge.audio.load import Audio, Source
from voxedge.audio.windows import Batch, Policy
from voxedge.errors import ModelError, NonFiniteOutput, NoSpeakers, UsageError
from voxedge.inference.answers import Answers
from voxedge.inference.clips import Clip, ClipReader, is_one_clip, speech_of
from voxedge.inference.feeds import make_feeds
from voxedge.inference.fixed_batches import PREPARING, RunSession, in_few_sizes
from voxedge.inference.open_set import ACCEPT, OpenSet
from voxedge.inference.prediction import Failure, Prediction
from voxedge.inference.scoring import ClipScores, Key, Outputs, score_clips
from voxedge.inference.session import PROVIDERS, check_interface, open_session
from voxedge.model_file.reader import read_model
from voxedge.speech.clip import Speech
from voxedge.speech.segments import Segment
from voxedge.threads import available_processors, ordered_map

DEFAULT_MODEL = "model.onnx"
MODEL_VARIABLE = "VOXEDGE_MODEL"

_MAX_BATCH, _MAX_THREADS = 4_096, 1_024  # a mistyped number must not exhaust the machine
_PARALLEL_FROM = 16  # batches: with fewer, opening a second session takes longer than it saves


class Identifier:
    """A model file, loaded and ready; may be shared between threads.

    Args:
        model: the file, or ``base``; by default ``$VOXEDGE_MODEL``, else ``model.onnx``.
        device: a key of ``voxedge.inference.session.PROVIDERS``, or ``auto``: CUDA where it loads,
            else the CPU.
        threads: threads that compute; by default as many as processors this process may use. They
            share one inference, except on a CPU with many batches: then each computes its own.
        batch_size: B.
        limits: which clips are accepted; ``min_seconds`` may be longer than the model file's own,
            never shorter.
        strict: refuse cut-off and over-long clips instead of warning.
        raw: how to read files, if they are samples without a header: ``s16le,16000,1``.
        any_sound: name somebody after noise and music as well: no speech is looked for.
        isolate: decode files in processes of their own, as many as ``threads``, with limits on
            time, memory and system calls (``voxedge.isolation``): for files of strangers.

    Raises:
        ModelError: the file is missing, or is not safe to run.
        ProviderUnavailable: ONNX Runtime, or a device requested by name, does not load.
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
        raw: str | None = None,
        any_sound: bool = False,
        isolate: bool = False,
    ) -> None:
        if not 1 <= batch_size <= _MAX_BATCH:
            raise UsageError(f"batch_size must be 1 to {_MAX_BATCH}, not {batch_size}")
        if threads is not None and not 1 <= threads <= _MAX_THREADS:
            raise UsageError(f"threads must be 1 to {_MAX_THREADS}, not {threads}")
        self.batch_size = batch_size
        self.threads = threads or available_processors()
        self.model_file = read_model(os.fspath(model or default_model()))
        self.metadata = self.model_file.metadata
        open_set = OpenSet.from_metadata(self.metadata.thresholds)
        self._reader = ClipReader(
            self.metadata, limits, strict, raw, any_sound, self.threads if isolate else 0
        )
        session, self.notes = self._open(device, self.threads)
        self.providers: tuple[str, ...] = tuple(session.get_providers())
        self.answers = Answers(
            self.metadata, self.model_file.path.name, self.providers[0], open_set
        )
        self._run_session: RunSession = session.run
        if self.providers[0] in PREPARING:
            self._run_session = in_few_sizes(session.run, batch_size)
        on_cpu = self.providers[0] == PROVIDERS["cpu"]
        self._parallel_batches = self.threads if on_cpu and self.threads > 1 else 0
        self._run_on_one_thread: RunSession | None = None  # opened when it is needed
        self._opening = Lock()

    @property
    def labels(self) -> tuple[str, ...]:
        """The speakers that the model knows, in class order; none of a file of embeddings."""
        return self.metadata.labels

    @property
    def sample_rate(self) -> int:
        """Hz, of the samples that ``run`` and ``score`` take."""
        return self.metadata.sample_rate

    def require_speakers(self) -> None:
        """Refuse to name anyone with a file that gives embeddings only.

        Raises:
            NoSpeakers: it is such a file.
        """
        if not self.metadata.names_speakers:
            raise NoSpeakers(
                f"{self.model_file.path.name} gives embeddings and knows no names",
                "enrol people (voxedge enroll NAME CLIP..., then voxedge identify --gallery"
                " people.vxg), or make a file that knows your speakers: voxedge train --trunk"
                f" {self.model_file.path.name}",
            )

    def identify(
        self,
        source: Source | npt.ArrayLike,
        *,
        sample_rate: int | None = None,
        top_k: int = 5,
        windows: Policy = "all",
        accept: float | None = ACCEPT,
    ) -> Prediction:
        """Identify the speaker of one clip.

        Args:
            source: a path, the bytes of a file, a binary file, or samples: [S] or [S, channels],
                float in [-1, 1] or integers.
            sample_rate: Hz, of samples; by default the model's. Files have their own.
            top_k: how many speakers to return.
            windows: ``all`` averages over half-overlapping windows, ``first`` takes one. Windows
                of pauses do not count.
            accept: share of strangers who may be named, if the file has a threshold for it; None
                names somebody in any case.

        Returns:
            Whose ``speaker`` is None, with a ``reason``, if there is too little speech, or nobody
            of the file is near enough (``unknown``).

        Raises:
            AudioError: one of its kinds, for a clip that cannot be used.
            NoSpeakers: the file gives embeddings only.
            ModelError: the model fails on this clip.
        """
        clip = Clip(source, sample_rate)
        (answer,) = self._identify([clip], top_k, windows, 0, accept)
        if isinstance(answer, Failure):
            raise answer.error
        return answer

    def identify_many(
        self,
        sources: Iterable[Source],
        *,
        top_k: int = 5,
        windows: Policy = "all",
        accept: float | None = ACCEPT,
        workers: int | None = None,
    ) -> Iterator[Prediction | Failure]:
        """Identify the speaker of each of many clips, in order, as the answers come.

        Clips are decoded on ``workers`` threads during inference, windows of different clips share
        batches, and only a few clips are in memory at a time. A clip that cannot be used yields a
        ``Failure`` with its ``path`` and ``error``.
        """
        if is_one_clip(sources):
            raise UsageError(
                f"identify_many takes several clips, not a {type(sources).__name__}",
                "pass a list of them",
            )
        clips = (Clip(source) for source in sources)
        workers = self.threads if workers is None else workers
        return self._identify(clips, top_k, windows, workers, accept)

    def embed(
        self,
        source: Source | npt.ArrayLike,
        *,
        sample_rate: int | None = None,
        windows: Policy = "all",
    ) -> Prediction:
        """As ``identify``, but nobody is named: the embedding of one clip, by any model file."""
        (answer,) = self._answers([Clip(source, sample_rate)], windows, workers=0)
        if isinstance(answer, Failure):
            raise answer.error
        return answer

    def embed_many(
        self, sources: Iterable[Source], *, windows: Policy = "all", workers: int | None = None
    ) -> Iterator[Prediction | Failure]:
        """As ``identify_many``, but nobody is named."""
        clips = (Clip(source) for source in sources)
        return self._answers(clips, windows, self.threads if workers is None else workers)

    def run(self, pcm: Samples, lengths: npt.NDArray[np.int64] | None = None) -> Outputs:
        """Run the model on mono samples [B, S] at ``sample_rate`` Hz.

        Args:
            pcm: converted to the type and channels of the file's input.
            lengths: [B], valid samples of each row; by default all of them.

        Raises:
            ModelError: ONNX Runtime fails, or the outputs have other shapes than the metadata says.
        """
        return self._outputs(self._run_session, pcm, lengths)

    def score(
        self,
        clips: Iterable[tuple[Key, Samples]],
        windows: Policy = "all",
        speech: Callable[[Key], Sequence[Segment] | None] = lambda _: None,
    ) -> Iterator[ClipScores[Key]]:
        """Yield the scores of (key, samples [S] at ``sample_rate`` Hz), which are not checked.

        ``speech`` gives the segments of a clip's speech, if they were looked for.
        """

        def run(batch: Batch[Any]) -> Outputs:
            parallel = self._parallel_batches and batch.number >= _PARALLEL_FROM
            run_session = self._single_threaded() if parallel else self._run_session
            return self._outputs(run_session, batch.pcm, batch.lengths)

        window, rate, workers = self.metadata.window, self.sample_rate, self._parallel_batches
        return score_clips(clips, run, window, rate, self.batch_size, windows, workers, speech)

    def find_speech(self, samples: Samples) -> Speech | None:
        """Find the speech of samples [S] at ``sample_rate`` Hz; None with ``any_sound``."""
        return self._reader.find_speech(samples)

    def _outputs(
        self, run_session: RunSession, pcm: Samples, lengths: npt.NDArray[np.int64] | None
    ) -> Outputs:
        feeds = make_feeds(self.metadata, pcm, lengths)
        sizes = self.metadata.outputs
        try:
            found = dict(zip(sizes, run_session(list(sizes), feeds), strict=True))
        except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a dozen types
            raise ModelError(f"ONNX Runtime cannot run the model: {str(error)[:300]}") from None
        shapes = {name: (len(pcm), size) for name, size in sizes.items()}
        if {name: output.shape for name, output in found.items()} != shapes:
            raise ModelError(f"the model's outputs are not of the shapes {shapes}")
        nothing = np.zeros((len(pcm), 0), np.float32)  # of a file without speakers
        return Outputs(*(found.get(name, nothing) for name in Outputs._fields))

    def _open(self, device: str, threads: int) -> tuple[Any, tuple[str, ...]]:
        """Open a session of the file that was verified; and notes about how it was opened."""
        session, notes = open_session(self.model_file.path, device, threads)
        self.model_file.require_unchanged()
        check_interface(session, self.metadata)
        return session, notes

    def _single_threaded(self) -> RunSession:
        """A session of one thread; if the file was changed since, the one that is open already."""
        with self._opening:
            if self._run_on_one_thread is None:
                try:
                    self._run_on_one_thread = self._open("cpu", 1)[0].run
                except ModelError:
                    self._run_on_one_thread = self._run_session
            return self._run_on_one_thread

    def _identify(
        self,
        clips: Iterable[Clip],
        top_k: int,
        policy: Policy,
        workers: int,
        accept: float | None,
    ) -> Iterator[Prediction | Failure]:
        if top_k < 1:
            raise UsageError(f"top_k must be at least 1, not {top_k}")
        self.require_speakers()
        if accept is not None:
            self.answers.least_known(accept)  # a mistyped share is refused before anything is heard
        return self._answers(clips, policy, workers, top_k, accept)

    def _answers(
        self,
        clips: Iterable[Clip],
        policy: Policy,
        workers: int,
        top_k: int = 0,
        accept: float | None = None,
    ) -> Iterator[Prediction | Failure]:
        """Yield the answers, which name nobody if ``top_k`` is 0."""
        if policy not in ("all", "first"):
            raise UsageError(f"windows: all or first, not {policy!r}")
        heard = ordered_map(self._reader.hear, clips, workers)
        for scores in self.score(heard, policy, speech_of):
            clip = scores.key
            if isinstance(clip, Failure):
                yield clip
                continue
            try:
                answer = self.answers.embedded(scores, clip)
            except NonFiniteOutput as error:
                yield Failure(clip.path, error)
                continue
            if top_k and scores.windows:
                answer = self.answers.named(answer, scores, top_k, accept)
            yield answer

    def decode(self, source: Source | npt.ArrayLike, sample_rate: int | None = None) -> Audio:
        """Decode a clip as this model needs it, and within its limits: see ``identify``.

        Raises:
            AudioError: one of its kinds, for a clip that cannot be used.
            UsageError: a rate of what is not samples.
        """
        return self._reader.decode(source, sample_rate)


def default_model() -> str:
    """The model file that is used where none is named."""
    return os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL


def default_embedding_model() -> str:
    """The same where embeddings suffice: the base network if there is no ``model.onnx``."""
    chosen = default_model()
    return base.NAME if chosen == DEFAULT_MODEL and not Path(chosen).exists() else chosen
