"""Cut clips into the windows that count, and group the windows of many clips into batches.

Training, evaluation, export and inference all cut clips here, with NumPy alone. A clip's answer is
the mean over its windows, so a window of pauses must not count as much as one of speech.
Shapes: S samples of a clip, W samples of a window, B windows of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from voxedge.audio.activity import LOW_ENERGY_RMS, Activity
from voxedge.audio.limits import Samples

Policy: TypeAlias = Literal["all", "first"]  # which windows of a long clip
Key = TypeVar("Key")

_LONGEST_PAUSE = 1.0  # seconds, at an end of a clip that is cut into windows
_KEPT_PAUSE = 0.5  # seconds, of a longer one
_LEAST_ACTIVE = 0.5  # of the active frames of the window that has the most

_MOST_SPOKEN = 0.3  # of the active frames: with fewer in speech, the clip is mostly something else

_STRIDE = 17  # odd, so that it is no multiple of a sound's period


def window_starts(samples: int, window: int, policy: Policy = "all") -> list[int]:
    """First sample of each window: they overlap by half, and the last one ends with the clip.

    A clip that is no longer than one window has a single one, which the model pads.
    """
    if samples <= window or policy == "first":
        return [0]
    last = samples - window
    return [*range(0, last, max(1, window // 2)), last]


def cut_windows(samples: Samples, window: int, policy: Policy = "all") -> list[Samples]:
    """The windows of a clip [S], as views of at most W samples."""
    starts = window_starts(len(samples), window, policy)
    return [samples[start : start + window] for start in starts]


def active_windows(
    samples: Samples,
    window: int,
    rate: int,
    policy: Policy = "all",
    speech: Sequence[tuple[float, float]] | None = None,
) -> list[Samples]:
    """The windows of a clip [S] that count for its answer, as views; none of a silent clip.

    A clip that is no longer than one window is that window. Of a longer one, long pauses at its
    ends are left out before it is cut. Then a window counts if it is not of low energy, and has at
    least half as many active frames (``voxedge.audio.activity``) as the window with the most.

    Args:
        samples: at ``rate`` Hz.
        window: W.
        rate: Hz.
        policy: ``all`` windows that count, or the ``first`` of them.
        speech: segments in seconds, if a detector has looked for them. Where most of what is
            active lies outside, only the frames within them are, in short clips as well.
    """
    spoken = None if speech is None else _spoken(samples, rate, speech)
    if len(samples) <= window and spoken is None:
        return [] if is_low_energy(samples) else [samples]
    activity = spoken or Activity.of(samples, rate)
    start, stop = _without_long_pauses(activity.span(), len(samples), rate)
    firsts = (start + first for first in window_starts(stop - start, window))
    spans = [(first, min(first + window, stop)) for first in firsts]
    spans = [(first, last) for first, last in spans if not is_low_energy(samples[first:last])]
    active = [activity.count(*span) for span in spans]
    least = _LEAST_ACTIVE * max(active, default=0)
    chosen = [span for span, frames in zip(spans, active, strict=True) if frames >= least]
    return [samples[first:last] for first, last in chosen[: 1 if policy == "first" else None]]


def _spoken(samples: Samples, rate: int, speech: Sequence[tuple[float, float]]) -> Activity | None:
    """The frames within segments of speech, if most of what stands out by its energy is not."""
    loud = Activity.of(samples, rate).active
    spoken = Activity.within(speech, len(samples), rate)
    return spoken if (loud & spoken.active).sum() < _MOST_SPOKEN * loud.sum() else None


def _without_long_pauses(
    active: tuple[int, int] | None, samples: int, rate: int
) -> tuple[int, int]:
    """The span of a clip of so many samples, without most of a long pause at either end."""
    if active is None:
        return 0, samples
    start, stop = active
    longest, kept = _LONGEST_PAUSE * rate, round(_KEPT_PAUSE * rate)
    return (
        start - kept if start > longest else 0,
        stop + kept if samples - stop > longest else samples,
    )


def is_low_energy(samples: Samples) -> bool:
    """Whether samples [S] hold nothing but silence, a constant, or denormals."""
    if not len(samples):
        return True
    # The sum of squared deviations of a subset is a lower bound of that of all samples.
    some = samples[::_STRIDE]
    if np.std(some, dtype=np.float64) ** 2 * len(some) > LOW_ENERGY_RMS**2 * len(samples):
        return False
    return float(np.std(samples, dtype=np.float64)) < LOW_ENERGY_RMS


@dataclass(frozen=True)
class Batch(Generic[Key]):
    """Windows of one or more clips, ready for the model."""

    pcm: Samples  # [B, W], rows of fewer samples are filled up with zeros
    lengths: npt.NDArray[np.int64]  # [B], valid samples of each row
    keys: tuple[Key, ...]  # [B], of the clip that each row belongs to
    number: int = 0  # batches that were made before this one


def batches(windows: Iterable[tuple[Key, Samples]], size: int, window: int) -> Iterator[Batch[Key]]:
    """Group (key, window) pairs into batches of ``size`` rows of W = ``window`` samples, in order.

    The last batch may have fewer rows.
    """
    held: list[tuple[Key, Samples]] = []
    for pair in windows:
        held.append(pair)
        if len(held) == size:
            yield make_batch(held, window)
            held = []
    if held:
        yield make_batch(held, window)


def make_batch(pairs: Sequence[tuple[Key, Samples]], window: int, number: int = 0) -> Batch[Key]:
    """Make one batch of (key, samples) pairs, each of at most W = ``window`` samples."""
    pcm = np.zeros((len(pairs), window), np.float32)
    for row, (_, samples) in zip(pcm, pairs, strict=True):
        row[: len(samples)] = samples
    lengths = np.array([len(samples) for _, samples in pairs], np.int64)
    return Batch(pcm, lengths, tuple(key for key, _ in pairs), number)


def as_buffer(pcm: Samples, dtype: str, channels: int) -> npt.NDArray[Any]:
    """Convert mono samples [B, S] to a device's buffer: [B, S * channels], interleaved.

    Args:
        pcm: in [-1, 1].
        dtype: ``int16``, with full scale 32,768, or ``float32``.
        channels: each gets the same samples.
    """
    values: npt.NDArray[Any] = np.ascontiguousarray(pcm, np.float32)
    if dtype == "int16":
        values = np.clip(np.round(values * 32_768), -32_768, 32_767).astype(np.int16)
    return values if channels == 1 else np.repeat(values, channels, axis=1)
