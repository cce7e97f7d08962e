"""Identify the speakers of clips with a model file, through ONNX Runtime and NumPy alone.

The file is verified before ONNX Runtime opens it (``voxedge.model_file``); execution providers and
shapes are checked after (``voxedge.inference.session``).

Shapes: B windows of a batch, S samples, K classes, E embedding.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from voxedge.audio import load as audio
from voxedge.audio.arrays import from_array
from voxedge.audio.limits import Limits, Samples
from voxedge.audio.load import Source
from voxedge.audio.raw import RawFormat
from voxedge.audio.windows import Batch, Policy, as_buffer
from voxedge.errors import ModelError, NonFiniteOutput, NoSpeakers, UsageError, VoxedgeError
from voxedge.inference.fixed_batches import PREPARING, RunSession, in_few_sizes
from voxedge.inference.open_set import ACCEPT, OpenSet, probability
from voxedge.inference.prediction import Failure, Prediction, Score
from voxedge.inference.scoring import ClipScores, Key, Outputs, score_clips
from voxedge.inference.session import PROVIDERS, check_interface, open_session
from voxedge.model_file.reader import read_model
from voxedge.speech.clip import Speech, find_speech
from voxedge.speech.segments import Segment
from voxedge.threads import available_processors, ordered_map

DEFAULT_MODEL = "model.onnx"
MODEL_VARIABLE = "VOXEDGE_MODEL"

_MAX_BATCH, _MAX_THREADS = 4_096, 1_024  # a mistyped number must not exhaust the machine
_PARALLEL_FROM = 16  # batches: with fewer, opening a second session takes longer than it saves

_FILES = (str, os.PathLike, bytes, bytearray, memoryview)  # and file objects
_NO_SAMPLES = np.zeros(0, np.float32)


class Identifier:
    """A model file, loaded and ready; may be shared between threads.

    Args:
        model: the file; by default ``$VOXEDGE_MODEL``, else ``model.onnx``.
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
    ) -> None:
        if not 1 <= batch_size <= _MAX_BATCH:
            raise UsageError(f"batch_size must be 1 to {_MAX_BATCH}, not {batch_size}")
        if threads is not None and not 1 <= threads <= _MAX_THREADS:
            raise UsageError(f"threads must be 1 to {_MAX_THREADS}, not {threads}")
        self.batch_size = batch_size
        self.any_sound = any_sound
        self.threads = threads or available_processors()
        self.model_file = read_model(os.fspath(model or default_model()))
        self.metadata = self.model_file.metadata
        self.open_set = OpenSet.from_metadata(self.metadata.thresholds)
        self._limits = _limits_of_model(limits, self.metadata.min_seconds)
        self._strict = strict
        self._raw = None if raw is None else RawFormat.parse(raw)
        session, self.notes = self._open(device, self.threads)
        self.providers: tuple[str, ...] = tuple(session.get_providers())
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
        clip = _Clip(source, sample_rate)
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
        if _is_one_clip(sources):
            raise UsageError(
                f"identify_many takes several clips, not a {type(sources).__name__}",
                "pass a list of them",
            )
        clips = (_Clip(source, None) for source in sources)
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
        (answer,) = self._answers([_Clip(source, sample_rate)], 0, windows, workers=0)
        if isinstance(answer, Failure):
            raise answer.error
        return answer

    def embed_many(
        self, sources: Iterable[Source], *, windows: Policy = "all", workers: int | None = None
    ) -> Iterator[Prediction | Failure]:
        """As ``identify_many``, but nobody is named."""
        clips = (_Clip(source, None) for source in sources)
        return self._answers(clips, 0, windows, self.threads if workers is None else workers)

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
        return None if self.any_sound else find_speech(samples, self.sample_rate)

    def _outputs(
        self, run_session: RunSession, pcm: Samples, lengths: npt.NDArray[np.int64] | None
    ) -> Outputs:
        feeds = {"pcm": as_buffer(pcm, self.metadata.dtype, self.metadata.channels)}
        if lengths is not None:
            feeds["lengths"] = np.ascontiguousarray(lengths, np.int64)
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

    def least_known(self, share: float) -> float | None:
        """The probability ``known`` below which a clip is nobody's.

        None if the file has no threshold for that share of strangers: then everybody gets a name.

        Raises:
            UsageError: no share between 0 and 1.
        """
        if not 0 < share < 1:
            raise UsageError(f"accept must be between 0 and 1, not {share}")
        odds = self.open_set.threshold(share) if self.open_set else None
        return None if odds is None else probability(odds)

    def _identify(
        self,
        clips: Iterable[_Clip],
        top_k: int,
        policy: Policy,
        workers: int,
        accept: float | None,
    ) -> Iterator[Prediction | Failure]:
        if top_k < 1:
            raise UsageError(f"top_k must be at least 1, not {top_k}")
        self.require_speakers()
        least = None if accept is None else self.least_known(accept)
        for answer in self._answers(clips, top_k, policy, workers):
            if least is None or isinstance(answer, Failure) or answer.known is None:
                yield answer
            elif answer.known < least:
                yield replace(answer, speaker=None, reason="unknown", least_known=least)
            else:
                yield replace(answer, least_known=least)

    def _answers(
        self, clips: Iterable[_Clip], top_k: int, policy: Policy, workers: int
    ) -> Iterator[Prediction | Failure]:
        """Yield the answers, which name nobody if ``top_k`` is 0."""
        if policy not in ("all", "first"):
            raise UsageError(f"windows: all or first, not {policy!r}")
        heard = ordered_map(self._hear, clips, workers)
        for scores in self.score(heard, policy, _ClipFacts.segments):
            yield self._answer(scores, top_k)

    def decode(self, source: Source | npt.ArrayLike, sample_rate: int | None = None) -> audio.Audio:
        """Decode a clip as this model needs it, and within its limits: see ``identify``.

        Raises:
            AudioError: one of its kinds, for a clip that cannot be used.
            UsageError: a rate of what is not samples.
        """
        own = self.sample_rate
        if isinstance(source, _FILES) or hasattr(source, "read"):
            if sample_rate is not None:
                raise UsageError(
                    "sample_rate is that of samples in an array; a file has its own",
                    "for a file of samples without a header: Identifier(model, raw=...)",
                )
            file: Any = source
            return audio.decode(file, own, self._limits, self._strict, self._raw)
        return from_array(source, own if sample_rate is None else sample_rate, own, self._limits)

    def _hear(self, clip: _Clip) -> tuple[_ClipFacts, Samples]:
        """Decode a clip and find its speech; without enough of it there are no samples to score."""
        path = "-"
        try:
            if isinstance(clip.source, str | os.PathLike):
                path = audio.path_text(clip.source)
            decoded = self.decode(clip.source, clip.sample_rate)
        except VoxedgeError as error:
            return _ClipFacts(path, error=error), _NO_SAMPLES
        speech = self.find_speech(decoded.samples)
        facts = _ClipFacts(path, decoded.seconds, decoded.warnings, speech=speech)
        return facts, _NO_SAMPLES if speech and speech.unfit else decoded.samples

    def _answer(self, scores: ClipScores[_ClipFacts], top_k: int) -> Prediction | Failure:
        clip = scores.key
        if clip.error is not None:
            return Failure(clip.path, clip.error)
        answer = Prediction(
            path=clip.path,
            seconds=clip.seconds,
            speaker=None,
            predictions=(),
            windows=scores.windows,
            model=self.model_file.path.name,
            provider=self.providers[0],
            warnings=clip.warnings,
            speech_seconds=clip.speech.seconds if clip.speech else None,
        )
        if scores.windows == 0:
            return replace(answer, reason=(clip.speech and clip.speech.unfit) or "no_speech")
        probabilities, embedding = scores.probabilities, scores.embedding
        if not (np.isfinite(probabilities).all() and np.isfinite(embedding).all()):
            return Failure(clip.path, NonFiniteOutput("the model's answer is not a number"))
        if not top_k:
            return replace(answer, embedding=embedding)
        best = np.argsort(-probabilities, kind="stable")[:top_k]
        predictions = tuple(Score(self.labels[k], float(probabilities[k])) for k in best)
        return replace(
            answer,
            speaker=predictions[0].speaker,
            predictions=predictions,
            embedding=embedding,
            known=self._known(scores.logits, clip.seconds),
        )

    def _known(self, logits: npt.NDArray[np.floating], seconds: float) -> float | None:
        """The probability, at even odds, that a clip of logits [K] is by one of the speakers."""
        if self.open_set is None:
            return None
        length = np.array([min(seconds, self.metadata.window_seconds)])
        (odds,) = self.open_set.log_odds(logits[None], length)
        return probability(float(odds))


def default_model() -> str:
    """The model file that is used where none is named."""
    return os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL


class _Clip(NamedTuple):
    source: Any  # as for ``Identifier.identify``
    sample_rate: int | None


class _ClipFacts(NamedTuple):
    """What a prediction says about a clip, beside its scores."""

    path: str
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    error: VoxedgeError | None = None
    speech: Speech | None = None  # None: it was not looked for

    def segments(self) -> Sequence[Segment] | None:
        """Of speech."""
        return self.speech.segments if self.speech else None


def _limits_of_model(limits: Limits | None, min_seconds: float) -> Limits:
    """The caller's limits, except that the model's minimum length holds where it is longer."""
    if limits is None:
        return Limits(min_seconds=min_seconds)
    return replace(limits, min_seconds=max(limits.min_seconds, min_seconds))


def _is_one_clip(sources: object) -> bool:
    """Whether these are not clips, although they may be iterable: a path, a file, an array [S]."""
    one = isinstance(sources, _FILES) or hasattr(sources, "read")
    return one or not isinstance(sources, Iterable) or getattr(sources, "ndim", 2) == 1
