"""Who spoke when in a recording: speech, embeddings of its windows, clusters, names, segments.

The recording is decoded, searched for speech and embedded block by block, so that memory holds
embeddings and little else. Without a detector of overlapping speech every moment has one speaker.

Shapes: N windows, E embedding, C speakers that the model file names, K speakers of the recording.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from voxedge.audio.decoder import Blocks
from voxedge.audio.limits import Limits, Samples
from voxedge.audio.load import Source, path_text, stream
from voxedge.errors import NonFiniteOutput, NoSpeech
from voxedge.inference.answers import Heard
from voxedge.inference.identifier import Identifier
from voxedge.inference.prediction import Prediction
from voxedge.inference.scoring import ClipScores, unit_length
from voxedge.timeline.clustering import SpeakerCount, cluster, means_of, require_scipy
from voxedge.timeline.measured import threshold_of
from voxedge.timeline.naming import Namer, Voice, nobody
from voxedge.timeline.record import Segment, Speaker, Timeline
from voxedge.timeline.segments import Spoken, spoken_segments
from voxedge.timeline.windows import Detector, SpeechWindows, Window

#: Of a recording: twelve hours, and as many bytes as a WAV file can have.
LIMITS = Limits(max_seconds=12 * 3_600.0, max_bytes=4 << 30)
#: Called with the seconds that are done, and all that the header declares (0: it does not).
Progress: TypeAlias = Callable[[float, float], None]


class Embedded(NamedTuple):
    """The windows of speech of a recording."""

    windows: tuple[Window, ...]  # N
    embeddings: npt.NDArray[np.float32]  # [N, E], unit length
    probabilities: npt.NDArray[np.float16]  # [N, C]
    logits: npt.NDArray[np.float32]  # [N, C]


@dataclass(frozen=True)
class Settings:
    """How speakers are told apart."""

    count: SpeakerCount = field(default_factory=SpeakerCount)
    cosine: float | None = None  # see ``clustering.cluster``; None: what was measured for the model
    limits: Limits = LIMITS
    strict: bool = False  # refuse cut-off and over-long recordings instead of warning


def who_spoke_when(
    source: Source,
    model: Identifier,
    name: Namer = nobody,
    settings: Settings | None = None,
    *,
    detector: Detector | None = None,
    progress: Progress | None = None,
) -> Timeline:
    """Find out who spoke when in a recording.

    Args:
        source: a path, the bytes of a file, or a seekable binary file.
        model: gives the embeddings.
        name: names the speakers; by default all are unknown.
        settings: how many speakers, and how unlike.
        detector: of speech, in its first state; by default one of ``voxedge.speech``.
        progress: called as the recording is read.

    Raises:
        AudioError: one of its kinds; ``NoSpeech`` if nobody speaks.
        UsageError: there are fewer windows of speech than speakers.
        NonFiniteOutput: an embedding is NaN or infinite.
        MissingExtra: SciPy is not installed.
    """
    require_scipy()  # said before the recording is read
    settings = settings or Settings()
    path = path_text(source) if isinstance(source, str | os.PathLike) else "-"
    with stream(source, model.sample_rate, settings.limits, settings.strict) as blocks:
        return timeline_of(
            blocks, model, name, settings, path=path, detector=detector, progress=progress
        )


def timeline_of(
    blocks: Blocks,
    model: Identifier,
    name: Namer = nobody,
    settings: Settings | None = None,
    *,
    path: str = "-",
    detector: Detector | None = None,
    progress: Progress | None = None,
) -> Timeline:
    """Find out who spoke when in a recording that is being decoded: see ``who_spoke_when``.

    Args:
        blocks: samples at the model's rate; the limits and ``strict`` are the decoder's.
        path: of the recording, for the answer.
    """
    require_scipy()
    settings = settings or Settings()
    cutter = SpeechWindows(model.sample_rate, detector)
    embedded = embed(_windows(blocks, cutter, progress), model)
    if not embedded.windows:
        raise NoSpeech(f"no speech in {blocks.seconds:.1f} s of audio")
    speakers, segments = describe(embedded, model, name, settings)
    return Timeline(
        path=path,
        seconds=blocks.seconds,
        speech=cutter.speech,
        speakers=speakers,
        segments=segments,
        model=model.model_file.path.name,
        provider=model.providers[0],
        warnings=tuple(blocks.warnings),
    )


def describe(
    embedded: Embedded, model: Identifier, name: Namer, settings: Settings
) -> tuple[tuple[Speaker, ...], tuple[Segment, ...]]:
    """The speakers of embedded windows, in order of appearance, and their segments.

    Raises:
        UsageError: there are fewer windows than speakers.
    """
    cosine = threshold_of(model.metadata) if settings.cosine is None else settings.cosine
    labels = cluster(embedded.embeddings, cosine, settings.count)
    means = means_of(embedded.embeddings, labels)
    answers = [_answer(embedded, labels == k, mean, model, name) for k, mean in enumerate(means)]
    groups = _of_one_name(answers)
    to_clusters = embedded.embeddings @ means.T
    cosines = np.stack([to_clusters[:, group].max(axis=1) for group in groups], axis=1)  # [N, K]
    spoken = spoken_segments(embedded.windows, cosines)
    names = _names(spoken, [answers[group[0]].speaker for group in groups])
    labels_named = model.labels if answers[0].predictions else ()
    segments = tuple(_named(spoken, embedded, names, cosines, labels_named))
    seconds = {k: sum(each.end - each.start for each in spoken if each.speaker == k) for k in names}
    speakers = (Speaker(label, seconds[k], answers[groups[k][0]]) for k, label in names.items())
    return tuple(speakers), segments


def _windows(
    blocks: Blocks, cutter: SpeechWindows, progress: Progress | None
) -> Iterator[tuple[Window, Samples]]:
    for block in blocks:
        yield from cutter.feed(block)
        if progress is not None:
            progress(blocks.seconds, blocks.expected_seconds)
    yield from cutter.finish()


def embed(windows: Iterable[tuple[Window, Samples]], model: Identifier) -> Embedded:
    """Embed windows of speech as they come; silence that passed for speech is left out.

    Raises:
        NonFiniteOutput: an embedding is NaN or infinite.
    """
    found: list[Window] = []
    embeddings: list[npt.NDArray[np.float32]] = []
    probabilities: list[npt.NDArray[np.float16]] = []
    logits: list[npt.NDArray[np.float32]] = []
    for scores in model.score(windows):
        if not scores.windows:
            continue
        if not np.isfinite(scores.embedding).all():
            raise NonFiniteOutput("an embedding is not a number")
        found.append(scores.key)
        embeddings.append(scores.embedding)
        probabilities.append(scores.probabilities.astype(np.float16))
        logits.append(scores.logits.astype(np.float32))
    if not found:
        empty = np.zeros((0, 0), np.float32)
        return Embedded((), empty, empty.astype(np.float16), empty)
    return Embedded(tuple(found), np.stack(embeddings), np.stack(probabilities), np.stack(logits))


def _answer(
    embedded: Embedded,
    own: npt.NDArray[np.bool_],
    mean: npt.NDArray[np.float32],
    model: Identifier,
    name: Namer,
) -> Prediction:
    """Who the speaker of some windows is, as of one long clip."""
    windows = [window for window, mine in zip(embedded.windows, own, strict=True) if mine]
    seconds = sum(window.end - window.start for window in windows)
    probabilities, logits = (
        each[own].mean(axis=0, dtype=np.float64)
        for each in (embedded.probabilities, embedded.logits)
    )
    scores = ClipScores(None, len(windows), probabilities, unit_length(mean), logits)
    pooled = model.answers.embedded(scores, Heard(seconds))
    return name(Voice(pooled, scores, seconds / len(windows)))


def _of_one_name(answers: Sequence[Prediction]) -> list[list[int]]:
    """The clusters of each speaker: two that have one name are one."""
    groups: dict[str | int, list[int]] = {}
    for k, answer in enumerate(answers):
        groups.setdefault(k if answer.speaker is None else answer.speaker, []).append(k)
    return list(groups.values())


def _names(spoken: Sequence[Spoken], known: Sequence[str | None]) -> dict[int, str]:
    """Speakers -> names, in order of appearance; ``unknown-1`` and so on where there is none."""
    free = (word for n in range(1, 10**6) if (word := f"unknown-{n}") not in known)
    return {k: known[k] or next(free) for k in dict.fromkeys(each.speaker for each in spoken)}


def _named(
    spoken: Sequence[Spoken],
    embedded: Embedded,
    names: dict[int, str],
    cosines: npt.NDArray[np.float32],
    labels: tuple[str, ...],
) -> Iterator[Segment]:
    """Yield the segments with names, and how sure they are: the mean over their windows."""
    middles = np.array([(window.start + window.end) / 2 for window in embedded.windows])
    for start, end, k in spoken:
        inside = (start <= middles) & (middles <= end)
        if not inside.any():  # it is shorter than a step from window to window
            inside[np.abs(middles - (start + end) / 2).argmin()] = True
        probability = None
        if names[k] in labels:
            column = embedded.probabilities[inside, labels.index(names[k])]
            probability = float(column.mean(dtype=np.float64))
        yield Segment(start, end, names[k], float(cosines[inside, k].mean()), probability)
