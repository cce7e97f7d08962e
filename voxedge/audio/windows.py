"""Cut clips into windows, and group the windows of many clips into batches.

Training, evaluation, export and inference all cut clips here, with NumPy alone.
Shapes: S samples of a clip, W samples of a window, B windows of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples

Policy: TypeAlias = Literal["all", "first"]  # which windows of a long clip
Key = TypeVar("Key")

#: A window whose standard deviation is lower holds no speech: -80 dBFS, about three quantisation
#: steps of 16-bit audio.
LOW_ENERGY_RMS = 1e-4

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


def active_windows(samples: Samples, window: int, policy: Policy = "all") -> list[Samples]:
    """The windows of a clip [S] that are not of low energy; none for a silent or empty clip."""
    return [part for part in cut_windows(samples, window, policy) if not is_low_energy(part)]


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
