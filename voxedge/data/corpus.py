"""Decode a corpus once: its usable clips, the problems of the others, and the samples in memory.

``voxedge data check`` and training both call ``load_corpus``, so training leaves out exactly what
the check reports. Samples are kept in memory up to a budget, as 16-bit integers (exact for 16-bit
files, a rounding error of -98 dB for others). Clips beyond the budget are decoded again whenever
they are needed, and rounded in the same way; so are those of shards, of which none are kept.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from voxedge.audio import load as audio
from voxedge.audio.limits import Limits, Samples
from voxedge.audio.windows import is_low_energy
from voxedge.data.clips import Clip, Manifest, Problem
from voxedge.data.near_duplicates import Take, envelope, near_duplicates
from voxedge.errors import AudioError, CorpusError
from voxedge.threads import ordered_map

_FULL_SCALE = 32_768.0
_REASONS = 3  # that are given for a speaker


@dataclass(frozen=True)
class Entry:
    """A usable clip of a corpus."""

    clip: Clip
    seconds: float
    rate: int  # Hz, of the file
    digest: str  # SHA-256 of the decoded samples, whatever container they came in
    warnings: tuple[str, ...] = ()
    held: npt.NDArray[Any] | None = field(default=None, repr=False, compare=False)  # samples [S]
    envelope: Samples | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Corpus:
    """The usable clips of a manifest, in order of their names, and the problems of the others."""

    manifest: Manifest  # without its clips
    sample_rate: int
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The speakers with usable clips, sorted; the index of a label is its class."""
        return tuple(sorted({entry.clip.speaker for entry in self.entries}))

    @property
    def digest(self) -> str:
        """SHA-256 over the samples and speakers of all clips, independent of file names."""
        lines = sorted(f"{entry.digest} {entry.clip.speaker}\n" for entry in self.entries)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def left_out(self) -> dict[str, str]:
        """The speakers without a usable clip, sorted, and why: the most frequent problems."""
        reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for problem in self.problems:
            if problem.clip.speaker:
                reasons[problem.clip.speaker][problem.message] += 1
        for label in self.labels:
            reasons.pop(label, None)
        return {
            speaker: "; ".join(
                message if count == 1 else f"{count} clips: {message}"
                for message, count in found.most_common(_REASONS)
            )
            for speaker, found in sorted(reasons.items())
        }

    def samples(self, entry: Entry) -> Samples:
        """Samples [S] of a clip, float32, from memory or decoded again."""
        return _samples(entry, self.sample_rate)


def load_corpus(
    manifest: Manifest,
    sample_rate: int,
    *,
    min_clips: int = 1,
    min_speakers: int = 2,
    speakers: int = 0,
    memory: int = 0,
    workers: int = 1,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Corpus:
    """Decode every clip, find problems, and keep the samples that fit into memory.

    Args:
        manifest: the clips to decode.
        sample_rate: rate to resample to, in Hz.
        min_clips: usable clips below which a speaker is left out.
        min_speakers: speakers that must remain.
        speakers: keep only this many speakers, the first in sorted order; 0 keeps all.
        memory: bytes of samples to keep in memory.
        workers: decoding threads.
        strict: raise if a clip has a problem instead of leaving it out.
        progress: called with (clips done, all clips).

    Raises:
        CorpusError: too few speakers remain, or ``strict`` and a clip has a problem.
    """
    clips, problems = _of_first(speakers, manifest)
    decoded = ordered_map(lambda clip: examine(clip, sample_rate, strict), clips, workers)
    entries, unusable = _keep_in_memory(decoded, memory, progress, len(clips))
    entries, duplicates = _without_duplicates(entries)
    if not manifest.is_checked:
        entries, copies = _without_near_duplicates(entries, sample_rate, workers)
        duplicates += copies
    entries, too_few = _without_small_speakers(entries, min_clips)
    problems += unusable + duplicates + too_few
    if strict and problems:
        first = problems[0]
        raise CorpusError(f"{first.clip.name}: {first.message}", f"{len(problems)} problems in all")
    # What is needed no more would take most of the memory of a packed corpus.
    entries = [replace(entry, envelope=None) for entry in entries]
    manifest = replace(manifest, clips=())
    corpus = Corpus(manifest, sample_rate, tuple(entries), tuple(problems))
    if len(corpus.labels) < min_speakers:
        raise CorpusError(
            f"{manifest.root}: {len(corpus.labels)} speakers have at least {min_clips} usable"
            f" clips; {min_speakers} speakers are needed",
            f"voxedge data check {manifest.root} lists the problems" if problems else "",
        )
    return corpus


def _of_first(speakers: int, manifest: Manifest) -> tuple[Sequence[Clip], list[Problem]]:
    """The clips of the first speakers, or of all if 0; and the problems that were met on the way.

    Those are of the same speakers and of the ones between them who have no clips.
    """
    if not speakers:
        return manifest.clips, list(manifest.problems)
    chosen = manifest.speakers[:speakers]
    if len(chosen) < speakers:
        raise CorpusError(f"{speakers} speakers asked for, but there are {len(chosen)}")
    problems = [problem for problem in manifest.problems if problem.clip.speaker <= chosen[-1]]
    return [clip for clip in manifest.clips if clip.speaker <= chosen[-1]], problems


def _keep_in_memory(
    decoded: Iterable[Entry | Problem],
    memory: int,
    progress: Callable[[int, int], None] | None,
    clips: int,
) -> tuple[list[Entry], list[Problem]]:
    """Collect decoded clips, dropping the samples of those that exceed ``memory`` bytes in all."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    for done, result in enumerate(decoded, 1):
        if isinstance(result, Problem):
            problems.append(result)
        elif result.held is not None and result.held.nbytes <= memory:
            memory -= result.held.nbytes
            entries.append(result)
        else:
            entries.append(replace(result, held=None))
        if progress:
            progress(done, clips)
    return entries, problems


def examine(clip: Clip, sample_rate: int, strict: bool = False) -> Entry | Problem:
    """Decode a clip, or say why it cannot be used.

    A packed clip is not decoded: what it was examined for is known, and its samples are not held.

    Args:
        clip: of a corpus.
        sample_rate: rate to resample to, in Hz.
        strict: refuse cut-off and over-long files instead of warning.
    """
    known = clip.examined
    if known and known.sample_rate == sample_rate and not (strict and known.warnings):
        own = replace(clip, examined=None)  # the manifest is not kept, and its envelopes neither
        return Entry(
            own, known.seconds, known.rate, known.digest, known.warnings, envelope=known.envelope
        )
    try:
        decoded = audio.decode(clip.source, sample_rate, Limits(), strict)
    except AudioError as error:
        return Problem(clip, error.code, str(error))
    if is_low_energy(decoded.samples):
        return Problem(clip, "silent", "silence")
    digest = hashlib.sha256(decoded.samples.data).hexdigest()
    return Entry(
        clip,
        decoded.seconds,
        decoded.source_rate,
        digest,
        decoded.warnings,
        held=_as_int16(decoded.samples),
        envelope=envelope(decoded.samples, sample_rate),
    )


def _samples(entry: Entry, sample_rate: int) -> Samples:
    held = entry.held
    if held is None:
        held = _as_int16(audio.load_audio(entry.clip.source, sample_rate))
    if held.dtype == np.int16:
        held = held.astype(np.float32) / np.float32(_FULL_SCALE)
    samples: Samples = held
    return samples


def _as_int16(samples: Samples) -> npt.NDArray[Any]:
    """Samples [S] as 16-bit integers; unchanged if they exceed full scale, as float files may."""
    scaled = np.rint(samples * _FULL_SCALE)
    if len(scaled) and (scaled.max() >= _FULL_SCALE or scaled.min() < -_FULL_SCALE):
        return samples
    rounded: npt.NDArray[Any] = scaled.astype(np.int16)
    return rounded


def _without_duplicates(entries: list[Entry]) -> tuple[list[Entry], list[Problem]]:
    """Keep one of several clips with the same audio; none if their speakers differ.

    Which of the speakers is the wrong one cannot be known.
    """
    by_digest: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_digest[entry.digest].append(entry)
    kept, problems = [], []
    for entry in entries:
        same_audio = by_digest[entry.digest]
        first = same_audio[0]
        conflicting = [e for e in same_audio if e.clip.speaker != entry.clip.speaker]
        if conflicting:
            message = f"the same audio as {conflicting[0].clip.name}, of another speaker"
            problems.append(Problem(entry.clip, "conflict", message))
        elif entry is not first:
            message = f"the same audio as {first.clip.name}"
            problems.append(Problem(entry.clip, "duplicate", message))
        else:
            kept.append(entry)
    return kept, problems


def _without_near_duplicates(
    entries: list[Entry], sample_rate: int, workers: int
) -> tuple[list[Entry], list[Problem]]:
    """Keep one of several clips of a speaker that are one take: the best format, then the first."""
    by_speaker: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_speaker[entry.clip.speaker].append(entry)

    def copies_among(own: list[Entry]) -> list[Problem]:
        takes = [_take(entry, sample_rate) for entry in own]
        return [
            Problem(
                own[copy].clip, "duplicate", f"nearly the same audio as {own[better].clip.name}"
            )
            for better, copy in near_duplicates(takes, sample_rate)
        ]

    found = ordered_map(copies_among, by_speaker.values(), workers)
    problems = {problem.clip.name: problem for own in found for problem in own}
    kept = [entry for entry in entries if entry.clip.name not in problems]
    return kept, list(problems.values())


def _take(entry: Entry, sample_rate: int) -> Take:
    assert entry.envelope is not None  # every decoded clip has one
    samples = partial(_samples, entry, sample_rate)
    return Take(entry.clip.name, entry.seconds, entry.rate, entry.envelope, samples)


def _without_small_speakers(
    entries: list[Entry], min_clips: int
) -> tuple[list[Entry], list[Problem]]:
    counts = Counter(entry.clip.speaker for entry in entries)
    kept, problems = [], []
    for entry in entries:
        count = counts[entry.clip.speaker]
        if count >= min_clips:
            kept.append(entry)
        else:
            message = (
                f"{entry.clip.speaker} has {count} usable clip{'s' * (count != 1)};"
                f" at least {min_clips} are needed"
            )
            problems.append(Problem(entry.clip, "too_few", message))
    return kept, problems
