"""A clip as a model file needs it: decoded at its rate, within limits, and searched for speech.

Shapes: S samples.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from voxedge.audio import load as audio
from voxedge.audio.arrays import from_array
from voxedge.audio.limits import Limits, Samples
from voxedge.audio.load import Source, StoredAudio
from voxedge.audio.raw import RawFormat
from voxedge.errors import UsageError, VoxedgeError
from voxedge.inference.answers import Heard
from voxedge.inference.prediction import Failure
from voxedge.model_file.metadata import Metadata
from voxedge.speech.clip import Speech, find_speech
from voxedge.speech.segments import Segment

if TYPE_CHECKING:
    from voxedge.isolation.decoders import Decoders

_FILES = (str, os.PathLike, bytes, bytearray, memoryview)  # and file objects, and stored audio
_NO_SAMPLES = np.zeros(0, np.float32)


class Clip(NamedTuple):
    """What the caller of ``Identifier`` passes."""

    source: Any  # as for ``Identifier.identify``
    sample_rate: int | None = None  # Hz, of samples


class ClipReader:
    """Reads clips: see ``Identifier`` for the arguments.

    ``processes`` is the number of those that decode files; with 0, this one does.
    """

    def __init__(
        self,
        metadata: Metadata,
        limits: Limits | None,
        strict: bool,
        raw: str | None,
        any_sound: bool,
        processes: int = 0,
    ) -> None:
        self._rate = metadata.sample_rate
        least = metadata.min_seconds  # which holds where the caller's is shorter
        limits = limits or Limits(min_seconds=least)
        self._limits = replace(limits, min_seconds=max(limits.min_seconds, least))
        self._strict = strict
        self._raw = None if raw is None else RawFormat.parse(raw)
        self._any_sound = any_sound
        self._decoders: Decoders | None = None
        if processes:
            from voxedge.isolation.decoders import Decoders, Rules

            rules = Rules(self._rate, self._limits, strict, raw, speech=not any_sound)
            self._decoders = Decoders(rules, processes)

    def decode(self, source: Source | npt.ArrayLike, sample_rate: int | None) -> audio.Audio:
        """See ``Identifier.decode``."""
        own, given = self._rate, cast("Any", source)
        if is_file(source):
            if sample_rate is not None:
                raise UsageError(
                    "sample_rate is that of samples in an array; a file has its own",
                    "for a file of samples without a header: Identifier(model, raw=...)",
                )
            if self._decoders is not None:
                return self._decoders.decode(_path_or_bytes(given)).audio
            return audio.decode(given, own, self._limits, self._strict, self._raw)
        return from_array(given, own if sample_rate is None else sample_rate, own, self._limits)

    def _decode_and_search(self, clip: Clip) -> tuple[audio.Audio, Speech | None]:
        if self._decoders is not None and is_file(clip.source) and clip.sample_rate is None:
            return self._decoders.decode(_path_or_bytes(clip.source))  # which does both
        decoded = self.decode(clip.source, clip.sample_rate)
        return decoded, self.find_speech(decoded.samples)

    def find_speech(self, samples: Samples) -> Speech | None:
        """Find the speech of samples [S] at the model's rate; None with ``any_sound``."""
        return None if self._any_sound else find_speech(samples, self._rate)

    def hear(self, clip: Clip) -> tuple[Heard | Failure, Samples]:
        """Decode a clip and find its speech; without enough of it there are no samples to score."""
        path = "-"
        try:
            if isinstance(clip.source, str | os.PathLike):
                path = audio.path_text(clip.source)
            decoded, speech = self._decode_and_search(clip)
        except VoxedgeError as error:
            return Failure(path, error), _NO_SAMPLES
        heard = Heard(decoded.seconds, path, decoded.warnings, speech)
        return heard, _NO_SAMPLES if speech and speech.unfit else decoded.samples


def speech_of(clip: Heard | Failure) -> Sequence[Segment] | None:
    """The segments of its speech, if they were looked for."""
    return clip.speech.segments if isinstance(clip, Heard) and clip.speech else None


def is_file(source: object) -> bool:
    """Whether this is a path, the bytes of a file, a file object, or stored audio."""
    return isinstance(source, _FILES) or hasattr(source, "read") or isinstance(source, StoredAudio)


def _path_or_bytes(source: Any) -> Any:  # noqa: ANN401 - as for ``Identifier.identify``
    if isinstance(source, _FILES):
        return source
    return source.read() if hasattr(source, "read") else source.read_bytes()


def is_one_clip(sources: object) -> bool:
    """Whether these are not clips, although they may be iterable: a path, a file, an array [S]."""
    return is_file(sources) or not isinstance(sources, Iterable) or getattr(sources, "ndim", 2) == 1
