"""The clips that a folded network is verified on: recordings of a corpus, or synthetic voices.

Shapes: S samples of a clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from voxedge.audio.limits import Samples
from voxedge.audio.load import load_audio
from voxedge.data.clips import Clip
from voxedge.data.manifest import read_manifest
from voxedge.errors import AudioError, CorpusError

Item = TypeVar("Item")

CLIPS = 64
_HARMONICS = 40
_FORMANTS = ((300, 900), (900, 2_400), (2_000, 3_600))  # Hz


@dataclass(frozen=True)
class Clips:
    """Clips and what they are, for the metadata."""

    samples: tuple[Samples, ...]  # [S] each
    speech: str  # ``recordings`` or ``synthetic``


def recorded_clips(data: Path, rate: int, count: int = CLIPS) -> Clips:
    """Evenly spaced clips of a corpus, as far as they can be read.

    Raises:
        CorpusError: none of them can.
    """
    clips = read_manifest(data).clips
    decoded = (decode(clip, rate) for clip in evenly(clips, count))
    readable = tuple(samples for samples in decoded if samples is not None)
    if not readable:
        raise CorpusError(f"{data}: no clip can be read")
    return Clips(readable, "recordings")


def synthetic_clips(rate: int, count: int = CLIPS) -> Clips:
    """Buzzes with wandering pitch and formants, in noise, of 0.3 to 6 s; always the same ones."""
    random = np.random.default_rng(0)
    return Clips(tuple(_voice(rate, random) for _ in range(count)), "synthetic")


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """At most ``count`` of the items, evenly spaced."""
    places = np.linspace(0, len(items) - 1, min(count, len(items)))
    return [items[round(place)] for place in places]


def decode(clip: Clip, rate: int) -> Samples | None:
    """The samples of a clip; None if it cannot be read."""
    try:
        return load_audio(clip.source, rate)
    except AudioError:
        return None


def _voice(rate: int, random: np.random.Generator) -> Samples:
    time = np.arange(round(random.uniform(0.3, 6) * rate)) / rate
    pitch = random.uniform(80, 300) * (1 + 0.1 * np.sin(2 * np.pi * random.uniform(1, 4) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    formants = [random.uniform(*bounds) for bounds in _FORMANTS]
    sound = np.zeros_like(time)
    for harmonic in range(1, _HARMONICS):
        hertz = harmonic * pitch
        gain = sum(np.exp(-(((hertz - formant) / 200) ** 2)) for formant in formants) + 0.02
        sound += (hertz < rate / 2) * gain * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * random.uniform(2, 5) * time), 0, None)
    sound = syllables * sound + random.normal(0, 0.02, len(time))
    level = 10 ** random.uniform(-2.5, -0.5)
    voice: Samples = (level * sound / np.abs(sound).max()).astype(np.float32)
    return voice
