"""Conversations composed of real clips, for measuring who spoke when.

Two to five speakers of one corpus take turns of several clips, with pauses, and some turns begin
before the last one ends. What is said by whom is known from the clips: the reference is their
active frames (``voxedge.audio.activity``) before any noise is added. Half of the speakers, and half
of the noises, are for choosing parameters, the others for reporting.

Shapes: S samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from voxedge.audio.activity import Activity
from voxedge.audio.limits import Samples
from voxedge.audio.load import load_audio
from voxedge.data.sounds import load_noises

Half: TypeAlias = Literal["chosen", "reported"]

RATE = 16_000  # Hz
CORPORA = ("speechocean762/unseen", "voices/commonvoice_fa", "voices/smc_msc_other")
SPEAKERS = (2, 3, 4, 5)
SNRS: tuple[float | None, ...] = (None, 20.0, 10.0)  # dB; None: no noise is added

_LEAST_CLIPS = 5
_SECONDS = 90.0  # at which a conversation ends
_TURN = (1, 3)  # clips
_PAUSE, _CHANGE = (0.1, 0.6), (0.2, 1.2)  # seconds, within a turn and between two
_OVERLAPPING, _OVERLAP = 0.4, (0.3, 2.0)  # share of the turns; seconds
_LEVEL, _LEVELS = -26.0, 3.0  # dBFS of the speech; dB, standard deviation over speakers
_GAP = 0.5  # seconds: a shorter one between active frames is not a pause of the reference


class Turn(NamedTuple):
    """Somebody speaks."""

    start: float  # seconds
    end: float
    speaker: str


@dataclass(frozen=True)
class Conversation:
    """A recording, and who spoke when in it."""

    name: str
    samples: Samples  # [S] at 16 kHz
    reference: tuple[Turn, ...]  # in order of their start; they may overlap
    snr: float | None  # dB


def compose(data: Path, half: Half) -> Iterator[Conversation]:
    """Compose each conversation, without noise and with: the same ones at every call.

    Args:
        data: the folder of the corpora.
        half: of the speakers and noises.
    """
    noises = load_noises(data / "noise", RATE, "training" if half == "chosen" else "evaluation")
    for corpus in CORPORA:
        people = _people(data / corpus, half)
        for count in SPEAKERS:
            name = f"{Path(corpus).parts[-1]}-{count}"
            random = np.random.default_rng(_hash(f"{half} {name}") % 2**32)
            chosen = [people[row] for row in random.permutation(len(people))[:count]]
            clean, reference = _talk(chosen, random)
            noise = _noise(noises, len(clean), random)
            for snr in SNRS:
                samples = clean if snr is None else _with_noise(clean, noise, snr)
                suffix = "clean" if snr is None else f"{snr:g}dB"
                yield Conversation(f"{name}-{suffix}", samples, reference, snr)


def _people(folder: Path, half: Half) -> list[Path]:
    people = [
        path
        for path in sorted(folder.iterdir())
        if path.name != "unlabelled" and len(list(path.iterdir())) >= _LEAST_CLIPS
    ]
    return [path for path in people if _hash(path.name) % 2 == (half == "reported")]


def _talk(people: list[Path], random: np.random.Generator) -> tuple[Samples, tuple[Turn, ...]]:
    """A conversation of people, without noise, and its reference."""
    clips = {path.name: _clips(path, random) for path in people}
    sound = np.zeros(round((_SECONDS + 60) * RATE), np.float32)
    turns: list[Turn] = []
    at, end, last = 0.5, 0.5, ""
    order = [path.name for path in people]
    while at < _SECONDS:
        left = [name for name, each in clips.items() if each and name != last]
        if not left:
            break
        last = order.pop(0) if order and order[0] in left else str(random.choice(left))
        for _ in range(random.integers(*_TURN, endpoint=True)):
            if not clips[last]:
                break
            clip = clips[last].pop()
            start = round(at * RATE)
            sound[start : start + len(clip)] += clip
            turns += [Turn(at + s, at + e, last) for s, e in _spans(clip)]
            end = at + len(clip) / RATE
            at = end + random.uniform(*_PAUSE)
        overlapping = random.random() < _OVERLAPPING
        at = end + (-random.uniform(*_OVERLAP) if overlapping else random.uniform(*_CHANGE))
    samples = sound[: round((end + 0.5) * RATE)]
    return _not_clipped(samples), tuple(sorted(turns))


def _clips(folder: Path, random: np.random.Generator) -> list[Samples]:
    """A speaker's clips in random order, at the level of one speaker, without the silent ends."""
    gain = 10 ** ((_LEVEL + random.normal(0, _LEVELS)) / 20)
    paths = sorted(folder.iterdir())
    found = []
    for row in random.permutation(len(paths)):
        clip = load_audio(paths[row], RATE)
        spans = _spans(clip)
        if spans:
            clip = clip[round(spans[0][0] * RATE) : round(spans[-1][1] * RATE)]
            found.append((gain * clip / _level(clip)).astype(np.float32))
    return found


def _spans(clip: Samples) -> list[tuple[float, float]]:
    """Where a clip is active, in seconds; short gaps are filled."""
    activity = Activity.of(clip, RATE)
    active = np.flatnonzero(np.diff(activity.before))
    if not len(active):
        return []
    frame = activity.frame / RATE
    breaks = np.flatnonzero(np.diff(active) * frame > _GAP)
    firsts, lasts = np.append(active[0], active[breaks + 1]), np.append(active[breaks], active[-1])
    return [(float(a * frame), float((b + 1) * frame)) for a, b in zip(firsts, lasts, strict=True)]


def _level(clip: Samples) -> float:
    """The root mean square of what is active."""
    activity = Activity.of(clip, RATE)
    active = np.diff(activity.before) > 0
    frames = clip[: len(active) * activity.frame].reshape(len(active), activity.frame)
    return float(np.sqrt(np.mean(np.square(frames[active], dtype=np.float64))))


def _noise(noises: tuple[Samples, ...], length: int, random: np.random.Generator) -> Samples:
    """One noise after another, each of the same power."""
    found: list[Samples] = []
    while sum(map(len, found)) < length:
        noise = noises[random.integers(len(noises))][: 10 * RATE]
        found.append(noise / np.sqrt(np.mean(np.square(noise, dtype=np.float64)) + 1e-12))
    return np.concatenate(found)[:length].astype(np.float32)


def _with_noise(clean: Samples, noise: Samples, snr: float) -> Samples:
    """Noise of power 1 under speech, whose level is that of its active frames."""
    mixed = clean + noise * np.float32(_level(clean) * 10 ** (-snr / 20))
    return _not_clipped(mixed)


def _not_clipped(samples: Samples) -> Samples:
    """Samples [S] within [-1, 1]."""
    return (samples / max(1.0, float(np.abs(samples).max()))).astype(np.float32)


def _hash(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest(), 16)
