"""A corpus decoded once: what is usable, what is wrong with the rest, and the samples in memory.

``voxedge data check`` and training look at a corpus with the same eyes, so what the one reports the
other leaves out. Samples are held up to a stated budget, as 16-bit integers (exact for 16-bit
files, -98 dB of rounding for others); clips beyond it are decoded again whenever they are needed,
to the very same values.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from voxedge.audio import load as audio
from voxedge.audio.limits import Limits, Samples
from voxedge.audio.windows import is_low_energy
from voxedge.data.manifest import Clip, Manifest
from voxedge.errors import AudioError, CorpusError
from voxedge.threads import ordered_map

_FULL_SCALE = 32_768.0


@dataclass(frozen=True)
class Problem:
    """Why a clip is left out of training."""

    clip: Clip
    code: str
    message: str


@dataclass(frozen=True)
class Entry:
    """A usable clip."""

    clip: Clip
    seconds: float
    rate: int  # Hz, of the file
    digest: str  # SHA-256 of the decoded samples: the same audio in another container is the same
    warnings: tuple[str, ...] = ()
    held: npt.NDArray[Any] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Corpus:
    """The usable clips of a manifest, by name, and the problems of the rest."""

    manifest: Manifest
    sample_rate: int
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The speakers with usable clips, sorted: the classes, in order."""
        return tuple(sorted({entry.clip.speaker for entry in self.entries}))

    @property
    def digest(self) -> str:
        """SHA-256 over who says what, independent of file names."""
        lines = sorted(f"{entry.digest} {entry.clip.speaker}\n" for entry in self.entries)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def samples(self, entry: Entry) -> Samples:
        """The clip's samples [S], from memory or decoded again."""
        held = entry.held
        if held is None:
            held = _packed(audio.load_audio(entry.clip.path, self.sample_rate))
        if held.dtype == np.int16:
            held = held.astype(np.float32) / np.float32(_FULL_SCALE)
        samples: Samples = held
        return samples


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
    """Decode every clip, find what is wrong, keep what fits into memory.

    Args:
        manifest: what to look at.
        sample_rate: Hz, that clips are brought to.
        min_clips: speakers with fewer usable clips are left out.
        min_speakers: how many must be left.
        speakers: keep the first so many in sorted order; 0 keeps all.
        memory: bytes of samples to hold.
        workers: threads that decode.
        strict: raise at the first problem instead of leaving the clip out.
        progress: called with (clips done, clips in all).

    Raises:
        CorpusError: too few speakers are left, or ``strict`` and a problem.
    """
    clips = manifest.clips
    if speakers:
        wanted = set(manifest.speakers[:speakers])
        if len(wanted) < speakers:
            raise CorpusError(f"{speakers} speakers asked for, {len(wanted)} there")
        clips = tuple(clip for clip in clips if clip.speaker in wanted)
    entries: list[Entry] = []
    problems: list[Problem] = []
    left = memory
    results = ordered_map(lambda clip: _decode(clip, sample_rate, strict), clips, workers)
    for done, result in enumerate(results, 1):
        if isinstance(result, Problem):
            problems.append(result)
        elif result.held is not None and result.held.nbytes <= left:
            left -= result.held.nbytes
            entries.append(result)
        else:
            entries.append(replace(result, held=None))
        if progress:
            progress(done, len(clips))
    entries, found = _without_duplicates(entries)
    problems += found
    entries, found = _without_small_speakers(entries, min_clips)
    problems += found
    if strict and problems:
        first = problems[0]
        raise CorpusError(f"{first.clip.name}: {first.message}", f"{len(problems)} problems in all")
    corpus = Corpus(manifest, sample_rate, tuple(entries), tuple(problems))
    if len(corpus.labels) < min_speakers:
        raise CorpusError(
            f"{manifest.root}: {len(corpus.labels)} speakers have at least {min_clips} usable"
            f" clips; {min_speakers} speakers are needed",
            f"voxedge data check {manifest.root} tells more" if problems else "",
        )
    return corpus


def _decode(clip: Clip, sample_rate: int, strict: bool) -> Entry | Problem:
    try:
        decoded = audio.decode(clip.path, sample_rate, Limits(), strict)
    except AudioError as error:
        return Problem(clip, error.code, str(error))
    if is_low_energy(decoded.samples):
        return Problem(clip, "silent", "silence")
    digest = hashlib.sha256(decoded.samples.data).hexdigest()
    held = _packed(decoded.samples)
    return Entry(clip, decoded.seconds, decoded.source_rate, digest, decoded.warnings, held)


def _packed(samples: Samples) -> npt.NDArray[Any]:
    """16-bit integers, but for clips that go beyond full scale: those stay as they are."""
    scaled = np.rint(samples * _FULL_SCALE)
    if len(scaled) and (scaled.max() >= _FULL_SCALE or scaled.min() < -_FULL_SCALE):
        return samples
    packed: npt.NDArray[Any] = scaled.astype(np.int16)
    return packed


def _without_duplicates(entries: list[Entry]) -> tuple[list[Entry], list[Problem]]:
    """One of each audio; none where two speakers claim it, since either may be wrong."""
    same: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        same[entry.digest].append(entry)
    kept, problems = [], []
    for entry in entries:
        first, *others = same[entry.digest]
        rivals = [e for e in (first, *others) if e.clip.speaker != entry.clip.speaker]
        if rivals:
            message = f"the same audio as {rivals[0].clip.name}, of another speaker"
            problems.append(Problem(entry.clip, "conflict", message))
        elif entry is not first:
            message = f"the same audio as {first.clip.name}"
            problems.append(Problem(entry.clip, "duplicate", message))
        else:
            kept.append(entry)
    return kept, problems


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
                f"{entry.clip.speaker} has {count} usable clips; at least {min_clips} are needed"
            )
            problems.append(Problem(entry.clip, "too_few", message))
    return kept, problems
