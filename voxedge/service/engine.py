"""What a service does with clips: decode them elsewhere, compute in batches, name, enrol.

Shapes: S samples.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from voxedge.audio.limits import Limits, Samples
from voxedge.errors import UsageError
from voxedge.gallery.enrolment import Enrolment
from voxedge.gallery.gallery import Gallery
from voxedge.gallery.verification import Verification, verify_clips
from voxedge.inference.answers import Heard
from voxedge.inference.identifier import Identifier
from voxedge.inference.prediction import Prediction
from voxedge.inference.scoring import ClipScores
from voxedge.isolation.decoders import Decoded, Decoders, Rules
from voxedge.service.batching import Batcher
from voxedge.service.metrics import ServiceMetrics
from voxedge.service.settings import Settings
from voxedge.timeline.naming import Namer, by_gallery, by_model, nobody
from voxedge.timeline.record import Timeline
from voxedge.timeline.timeline import Settings as TimelineSettings
from voxedge.timeline.timeline import timeline_of

Result = TypeVar("Result")

_ANY_COSINE = -1.0  # which everybody reaches


class Engine:
    """A model file, the people of a gallery, and the processes that decode.

    Args:
        model: the file, opened.
        gallery: of its people; None: the file's own speakers are named.
        settings: limits.
        metrics: what is counted.

    Raises:
        NoSpeakers: there is no gallery, and the file names nobody.
        ForeignModel: the gallery was made with another file.
    """

    def __init__(
        self,
        model: Identifier,
        gallery: Path | None,
        settings: Settings,
        metrics: ServiceMetrics,
    ) -> None:
        self.model, self.settings = model, settings
        self.gallery = None if gallery is None else Gallery(gallery, model)
        if self.gallery is None:
            model.require_speakers()
        elif self.gallery.path.exists():
            self.gallery.require_own_model()
        least = model.metadata.min_seconds
        limits = Limits(
            max_seconds=settings.max_seconds, max_bytes=settings.max_bytes, min_seconds=least
        )
        self._decoding = 0
        self._seen: tuple[int, int] | None = None
        self.decoders = Decoders(
            Rules(model.sample_rate, limits),
            settings.decoders,
            seconds=settings.decode_seconds,
            memory=settings.memory,
        )
        self._batcher = Batcher(
            model, settings.wait, lambda: self._decoding, metrics.batches.observe
        )
        self._to_decode = ThreadPoolExecutor(settings.decoders, "voxedge-decoding")
        self._to_work = ThreadPoolExecutor(1, "voxedge-work")

    def close(self) -> None:
        """Finish what was begun, and end threads and processes."""
        self._to_decode.shutdown()
        self._to_work.shutdown()
        self._batcher.close()
        self.decoders.close()

    async def identify(
        self, clip: bytes, raw: str | None, top_k: int, accept: float | None
    ) -> Prediction:
        """Say who speaks: see ``Identifier.identify``, or ``Gallery.identify``.

        Raises:
            AudioError: the clip cannot be used.
            EmptyGallery: nobody is enrolled.
            UsageError: an impossible share.
        """
        recognise = None
        if self.gallery is not None:
            self._reload()
            if accept is None:
                recognise = self.gallery.recogniser(top_k, cosine=_ANY_COSINE)
            else:
                recognise = self.gallery.recogniser(top_k, accept)
        elif accept is not None:
            self.model.answers.least_known(accept)
        decoded = await self._decode(clip, raw)
        scores, embedded = await self._embed(decoded)
        if recognise is not None:
            return recognise(embedded)
        if not scores.windows:
            return embedded
        return self.model.answers.named(embedded, scores, top_k, accept)

    async def enroll(self, name: str, clips: Sequence[bytes], raw: str | None) -> Enrolment:
        """Enrol a person: see ``Gallery.enroll``.

        Raises:
            EnrolmentError: no clip can be enrolled.
            NameTaken: the name differs from another one in case or blanks only.
            AudioError: a clip cannot be decoded.
        """
        gallery = self.people()
        samples = [await self._samples(clip, raw) for clip in clips]
        return await self._work(lambda: gallery.enroll(name, samples))

    async def remove(self, name: str) -> None:
        """Remove a person.

        Raises:
            UnknownPerson: nobody has this name.
        """
        gallery = self.people()
        await self._work(lambda: gallery.remove(name))

    async def verify(
        self, first: str | bytes, second: bytes, raw: str | None, accept: float
    ) -> Verification:
        """Decide whether two clips, or a person (a name) and a clip, are of one voice.

        Raises:
            UnknownPerson: nobody has this name.
            AudioError: a clip cannot be used.
            UsageError: no threshold is known.
        """
        other = await self._samples(second, raw)
        if isinstance(first, str):
            gallery, name = self.people(), first
            return await self._work(lambda: gallery.verify(name, other, accept=accept))
        one = await self._samples(first, raw)
        return await self._work(lambda: verify_clips(self.model, one, other, accept=accept))

    async def timeline(
        self, recording: bytes, raw: str | None, settings: TimelineSettings
    ) -> Timeline:
        """Say who spoke when: see ``voxedge.timeline``.

        Raises:
            AudioError: the recording cannot be used.
            UsageError: there are fewer windows of speech than speakers.
        """
        name = self.namer()

        def find() -> Timeline:
            with self.decoders.stream(recording, raw) as blocks:
                return timeline_of(blocks, self.model, name, settings)

        return await self._work(find)

    def people(self) -> Gallery:
        """The gallery, as it stands now.

        Raises:
            UsageError: there is none.
        """
        if self.gallery is None:
            raise UsageError("this service has no gallery", "voxedge serve --gallery people.vxg")
        self._reload()
        return self.gallery

    def namer(self) -> Namer:
        """Names the speakers of streams and recordings."""
        if self.gallery is None:
            return by_model(self.model)
        self._reload()
        return by_gallery(self.gallery) if self.gallery.path.exists() else nobody

    def _reload(self) -> None:
        """Read the gallery again if another process has changed it."""
        assert self.gallery is not None
        try:
            status = self.gallery.path.stat()
            now = (status.st_mtime_ns, status.st_ino)
        except OSError:
            now = None
        if now != self._seen:
            self.gallery.reload()
        self._seen = now

    async def _decode(self, clip: bytes, raw: str | None) -> Decoded:
        self._decoding += 1
        try:
            return await _on(self._to_decode, lambda: self.decoders.decode(clip, raw))
        finally:
            self._decoding -= 1

    async def _samples(self, clip: bytes, raw: str | None) -> Samples:
        return (await self._decode(clip, raw)).audio.samples

    async def _embed(self, decoded: Decoded) -> tuple[ClipScores[None], Prediction]:
        audio, speech = decoded
        heard = Heard(audio.seconds, "-", audio.warnings, speech)
        scores: ClipScores[None] = ClipScores(None, 0)
        if speech is None or not speech.unfit:
            segments = speech.segments if speech else None
            scores = await asyncio.wrap_future(self._batcher.submit(audio.samples, segments))
        return scores, self.model.answers.embedded(scores, heard)

    async def _work(self, function: Callable[[], Result]) -> Result:
        return await _on(self._to_work, function)


async def _on(threads: ThreadPoolExecutor, function: Callable[[], Result]) -> Result:
    return await asyncio.get_running_loop().run_in_executor(threads, function)
