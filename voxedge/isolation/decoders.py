"""A pool of worker processes that decode clips, and the watchdog over them.

Shapes: S samples.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from queue import Empty, LifoQueue
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np

from voxedge import errors
from voxedge.audio.limits import Limits, Samples, check_values
from voxedge.audio.load import Audio, path_text
from voxedge.audio.raw import RawFormat
from voxedge.errors import AudioError, DecodingStopped, OutsideLimits, UsageError
from voxedge.isolation.messages import Broken, receive, send
from voxedge.speech.clip import Speech
from voxedge.speech.segments import Segment

#: A path, which the worker opens itself, or the bytes of a file.
Clip: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview

SECONDS = 30.0  # for a clip
MEMORY = 2 << 30  # bytes of address space of a worker, of which its libraries take a third
_PROGRAM = "voxedge.isolation.worker"
_KEPT = 2_000  # bytes of what a worker last wrote on its standard error
_SHOWN = 200  # characters of it
_LAST_WORDS = 1.0  # seconds until all of it has come
_BYTES = 4  # of a sample
_CODES = {
    each.code: each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, AudioError)
}


@dataclass(frozen=True)
class Rules:
    """How clips are decoded: see ``voxedge.audio.load.decode``."""

    sample_rate: int  # Hz, of the results
    limits: Limits
    strict: bool = False
    raw: str | None = None  # of files without a header: ENCODING,RATE,CHANNELS
    speech: bool = True  # look for it too


class Decoded(NamedTuple):
    """A clip that a worker has decoded."""

    audio: Audio
    speech: Speech | None  # None: it was not looked for


class Decoders:
    """Processes that decode clips for the threads of this one; closed as a context manager.

    Args:
        rules: of all clips.
        count: processes, each started when it is first needed.
        seconds: after which a worker is stopped that has sent nothing.
        memory: bytes of address space of each.
    """

    def __init__(
        self, rules: Rules, count: int, *, seconds: float = SECONDS, memory: int = MEMORY
    ) -> None:
        if count < 1:
            raise UsageError(f"at least one process decodes, not {count}")
        self.rules, self.seconds, self.memory = rules, seconds, memory
        self._idle: LifoQueue[_Worker | None] = LifoQueue()
        for _ in range(count):
            self._idle.put(None)
        self._end = weakref.finalize(self, _stop, self._idle)

    def decode(self, clip: Clip, raw: str | None = None) -> Decoded:
        """Decode a clip and find its speech; waits for a worker.

        Args:
            clip: its path, or its bytes.
            raw: in place of that of the rules.

        Raises:
            AudioError: one of its kinds; ``DecodingStopped`` if the worker crashed, or was stopped.
            UsageError: ``raw`` describes no samples.
        """
        request, payload = self._request(clip, raw, whole=True), self._payload(clip)
        with self._worker() as worker:
            ((end, samples),) = worker.answers(request, payload, self._most)
        speech = None
        if "speech" in end:
            speech = Speech(tuple(Segment(float(a), float(b)) for a, b in end["speech"]))
        return Decoded(
            Audio(samples, end["seconds"], end["rate"], end["channels"], tuple(end["warnings"])),
            speech,
        )

    @contextlib.contextmanager
    def stream(self, clip: Clip, raw: str | None = None) -> Iterator[Stream]:
        """Decode a clip block by block: see ``voxedge.audio.load.stream``.

        Raises:
            AudioError: see ``decode``; also while the blocks are read.
        """
        request, payload = self._request(clip, raw, whole=False), self._payload(clip)
        with self._worker() as worker:
            blocks = Stream(worker.answers(request, payload, self._most))
            yield blocks
            if not blocks.at_end:  # the worker goes on sending what nobody reads
                worker.stop()

    @property
    def _most(self) -> int:
        """Bytes of the samples of the longest clip, with a second for the resampler's end."""
        return int((self.rules.limits.max_seconds + 1) * self.rules.sample_rate) * _BYTES

    def _request(self, clip: Clip, raw: str | None, *, whole: bool) -> dict[str, Any]:
        rules = self.rules
        described = raw or rules.raw
        if described is not None:
            RawFormat.parse(described)  # the caller's fault, not the clip's
        return {
            "path": path_text(clip) if isinstance(clip, str | os.PathLike) else None,
            "rate": rules.sample_rate,
            "limits": asdict(rules.limits),
            "strict": rules.strict,
            "raw": described,
            "whole": whole,
            "speech": rules.speech,
        }

    def _payload(self, clip: Clip) -> memoryview:
        if isinstance(clip, str | os.PathLike):
            return memoryview(b"")
        payload, most = memoryview(clip), self.rules.limits.max_bytes
        if payload.nbytes > most:
            raise OutsideLimits(f"{payload.nbytes} bytes; at most {most} are read")
        return payload

    @contextlib.contextmanager
    def _worker(self) -> Iterator[_Worker]:
        """An idle worker, which nobody else gets meanwhile; one that was stopped is replaced."""
        worker = self._idle.get()
        try:
            if worker is None or worker.stopped:
                worker = None
                worker = _Worker(self.seconds, self.memory)
            yield worker
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """Stop the workers that are idle; also called when the pool is no longer referenced."""
        self._end()

    def __enter__(self) -> Decoders:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _stop(idle: LifoQueue[_Worker | None]) -> None:
    """Stop the workers of a queue, which stays as long as it is."""
    workers = []
    with contextlib.suppress(Empty):
        while True:
            workers.append(idle.get_nowait())
    for worker in workers:
        if worker is not None:
            worker.stop()
        idle.put(None)


class Stream:
    """The samples of a clip, block by block, and once: as ``voxedge.audio.decoder.MonoBlocks``."""

    def __init__(self, answers: Iterator[tuple[dict[str, Any], Samples]]) -> None:
        self.seconds = self.expected_seconds = 0.0  # decoded so far; by the header
        self.rate = self.channels = 0  # of the file; known at the end
        self.warnings: list[str] = []
        self.at_end = False
        self._answers = answers

    def __iter__(self) -> Iterator[Samples]:
        """Yield the blocks [S].

        Raises:
            AudioError: one of its kinds.
        """
        for about, block in self._answers:
            self.seconds, self.expected_seconds = about["seconds"], about["expected"]
            if "warnings" in about:
                self.rate, self.channels = about["rate"], about["channels"]
                self.warnings += about["warnings"]
                self.at_end = True
                return
            yield block


class _Worker:
    """A process that answers one request after the other."""

    def __init__(self, seconds: float, memory: int) -> None:
        self.stopped = False
        self._seconds = seconds
        self._last_words = b""
        one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", _PROGRAM, str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | one_thread,
            start_new_session=True,  # Ctrl-C is for this process
        )
        assert self._process.stdin
        assert self._process.stdout
        self._to: BinaryIO = self._process.stdin  # type: ignore[assignment]
        self._from: BinaryIO = self._process.stdout  # type: ignore[assignment]
        self._drainer = threading.Thread(target=self._drain, daemon=True)
        self._drainer.start()
        with self._watched():
            receive(self._from, 0)

    def answers(
        self, request: dict[str, Any], payload: memoryview, most: int
    ) -> Iterator[tuple[dict[str, Any], Samples]]:
        """Yield what the worker sends: blocks with what is known of them, and the end's facts.

        Raises:
            AudioError: one of its kinds.
        """
        sent = end = False
        while not end:
            with self._watched():
                if not sent:
                    send(self._to, request, payload)
                sent = True
                header, data = receive(self._from, most)
                most -= len(data)
            if "error" in header:
                raise _error(header["error"])
            end = "end" in header
            try:
                samples = _samples(data)
            except AudioError:  # no worker sends this that does what it should
                self.stop()
                raise
            yield header.get("end", header), samples

    def stop(self) -> None:
        """End the process."""
        self.stopped = True
        self._process.kill()
        self._process.wait()
        self._drainer.join(_LAST_WORDS)  # its end of the pipe may be open in a child
        with contextlib.suppress(OSError):  # what was not sent yet
            self._to.close()
        self._from.close()

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Stop the worker if this takes too long.

        Raises:
            DecodingStopped: it did, or the worker has ended.
        """
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._process.kill()

        watchdog = threading.Timer(self._seconds, stop)
        watchdog.start()
        try:
            yield
        except (Broken, OSError) as error:
            self.stop()
            raise self._stopped_because(str(error), late.is_set()) from None
        finally:
            watchdog.cancel()

    def _stopped_because(self, broken: str, late: bool) -> DecodingStopped:
        if late:
            return DecodingStopped(f"decoding took over {self._seconds:g} s, and was stopped")
        words = self._last_words.decode(errors="replace").strip().splitlines()
        why = words[-1][-_SHOWN:] if words else broken
        return DecodingStopped(f"the process that decodes has failed: {why}")

    def _drain(self) -> None:
        """Read what the worker prints, so that it never waits for a reader."""
        assert self._process.stderr
        with contextlib.suppress(ValueError, OSError):
            while data := os.read(self._process.stderr.fileno(), 1 << 16):
                self._last_words = (self._last_words + data)[-_KEPT:]


def _samples(data: bytes) -> Samples:
    """The samples of a message, checked: who made the clip may have written them.

    Raises:
        DecodingStopped: they are none.
        BadSamples: they are NaN, infinite or far too large.
    """
    if len(data) % _BYTES:
        raise DecodingStopped(f"the process that decodes sent {len(data)} bytes")
    samples: Samples = np.frombuffer(data, "<f4").astype(np.float32, copy=False)
    check_values(samples)
    return samples


def _error(about: dict[str, Any]) -> AudioError:
    kind = _CODES.get(about.get("code", ""), AudioError)
    return kind(str(about.get("message")), str(about.get("hint", "")))
