"""Hear clips for a gallery: decode, examine and embed them; a reason for each that is unfit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples
from voxedge.audio.load import Source, path_text
from voxedge.errors import AudioError, NonFiniteOutput, NoSpeech, TooLittleSpeech
from voxedge.gallery.enrolment import ClipReport, examine
from voxedge.gallery.people import EnrolledClip, Floats, Kept
from voxedge.inference.identifier import Identifier
from voxedge.speech.clip import LEAST_SPEECH, Speech
from voxedge.speech.segments import Segment

_FULL_SCALE = 32_768


@dataclass(frozen=True)
class EmbeddedClip:
    """A clip that was embedded: what is known of it, and what a gallery keeps of it."""

    report: ClipReport
    clip: EnrolledClip | None  # None: it cannot be enrolled


def hear(
    model: Identifier,
    sources: Iterable[Source | npt.ArrayLike],
    sample_rate: int | None,
    keep: bool,
) -> list[EmbeddedClip]:
    """Decode, examine and embed clips, in order.

    Args:
        model: the model file.
        sources: as for ``Identifier.identify``.
        sample_rate: Hz, of samples.
        keep: keep the samples.

    Raises:
        NonFiniteOutput: an embedding is NaN or infinite.
    """
    examined: list[tuple[ClipReport, Samples, Speech | None]] = []
    for number, source in enumerate(sources, 1):
        named = isinstance(source, str | os.PathLike)
        path = path_text(source) if named else f"clip {number}"
        try:
            samples = model.decode(source, sample_rate).samples
        except AudioError as error:
            report = ClipReport(path, reason=error.code, message=str(error))
            examined.append((report, np.zeros(0, np.float32), None))
        else:
            speech = model.find_speech(samples)
            report = examine(path, samples, model.sample_rate, speech)
            examined.append((report, samples, speech))
    usable = ((n, samples) for n, (report, samples, _) in enumerate(examined) if not report.reason)

    def segments(number: int) -> Sequence[Segment] | None:
        speech = examined[number][2]
        return speech.segments if speech else None

    scored = model.score(usable, speech=segments)
    embeddings = {scores.key: scores.embedding for scores in scored}
    return [
        EmbeddedClip(report, _clip(report, embeddings[number], samples if keep else None))
        if number in embeddings
        else EmbeddedClip(report, None)
        for number, (report, samples, _) in enumerate(examined)
    ]


class OneEmbedding(NamedTuple):
    """What one clip is compared by."""

    vector: Floats  # [E], unit length
    speech_seconds: float | None  # None: they were not looked for


def one_embedding(
    model: Identifier, source: Source | npt.ArrayLike, sample_rate: int | None
) -> OneEmbedding:
    """Embed one clip.

    Raises:
        AudioError: one of its kinds; ``NoSpeech`` and ``TooLittleSpeech`` among them. The message
            names a file, since there may be two.
    """
    try:
        answer = model.embed(source, sample_rate=sample_rate)
    except AudioError as error:
        if isinstance(source, str | os.PathLike):
            raise type(error)(f"{path_text(source)}: {error.message}", error.hint) from None
        raise
    if answer.embedding is not None:
        return OneEmbedding(answer.embedding, answer.speech_seconds)
    if answer.reason == TooLittleSpeech.code:
        raise TooLittleSpeech(
            f"{answer.path}: {answer.speech_seconds:.2f} s of speech; at least {LEAST_SPEECH:g} s"
            " are needed",
            "record a longer clip",
        )
    raise NoSpeech(f"{answer.path}: no speech in it: silence, noise or music")


def to_int16(samples: Samples) -> Kept:
    """Samples as they are kept: full scale is 32,768."""
    scaled = np.clip(np.round(samples * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)
    kept: Kept = scaled.astype(np.int16)
    return kept


def _clip(report: ClipReport, embedding: Floats, samples: Samples | None) -> EnrolledClip:
    if not np.isfinite(embedding).all():
        raise NonFiniteOutput(f"{report.path}: the model's answer is not a number")
    kept = None if samples is None else to_int16(samples)
    file = PurePath(report.path).name.encode("utf-8", "backslashreplace").decode()
    return EnrolledClip(file, report.seconds, report.speech, embedding, kept)
