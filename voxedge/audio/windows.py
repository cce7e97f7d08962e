"""How a long clip becomes windows, and the windows of many clips become batches.

NumPy only: training, export and the device cut clips the same way.
Shapes: S samples of a clip, W samples of a window, B windows of a batch, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples

Policy: TypeAlias = Literal["all", "first"]
Key = TypeVar("Key")

#: Root mean square, mean removed, below which a window is not speech: -80 dBFS, about three
#: quantisation steps of 16-bit audio.
LOW_ENERGY_RMS = 1e-4

_STRIDE = 17  # odd, so that no common period of a sound hides between


def window_starts(samples: int, window: int, policy: Policy = "all") -> list[int]:
    """Where windows begin: half overlapping, the last one flush with the end of the clip.

    A clip no longer than one window has a single one, which the model pads.
    """
    if samples <= window or policy == "first":
        return [0]
    last = samples - window
    return [*range(0, last, max(1, window // 2)), last]


def cut(samples: Samples, window: int, policy: Policy = "all") -> list[Samples]:
    """The windows of a clip [S] as views of at most W samples."""
    starts = window_starts(len(samples), window, policy)
    return [samples[start : start + window] for start in starts]


def speech(samples: Samples, window: int, policy: Policy = "all") -> list[Samples]:
    """The windows of a clip [S] that hold sound at all; none for silence or no samples."""
    return [part for part in cut(samples, window, policy) if not is_low_energy(part)]


def is_low_energy(samples: Samples) -> bool:
    """Whether samples [S] hold nothing but silence, a constant, or denormals."""
    if not len(samples):
        return True
    few = samples[::_STRIDE]  # all deviate at least by as much as a few of them do: mostly enough
    if np.std(few, dtype=np.float64) ** 2 * len(few) > LOW_ENERGY_RMS**2 * len(samples):
        return False
    return float(np.std(samples, dtype=np.float64)) < LOW_ENERGY_RMS


@dataclass(frozen=True)
class Batch(Generic[Key]):
    """Windows of several clips, ready for the model."""

    pcm: Samples  # [B, W], rows shorter than W zero-filled
    lengths: npt.NDArray[np.int64]  # [B], the valid samples of each row
    keys: tuple[Key, ...]  # [B], of the clip that each row is a window of
    number: int = 0  # of those made before it


def batches(windows: Iterable[tuple[Key, Samples]], size: int, window: int) -> Iterator[Batch[Key]]:
    """Group (key, window) pairs into batches of ``size`` rows of ``window`` samples, in order."""
    held: list[tuple[Key, Samples]] = []
    for pair in windows:
        held.append(pair)
        if len(held) == size:
            yield make_batch(held, window)
            held = []
    if held:
        yield make_batch(held, window)


def make_batch(pairs: Sequence[tuple[Key, Samples]], window: int, number: int = 0) -> Batch[Key]:
    """One batch of (key, window) pairs, each of at most ``window`` samples."""
    pcm = np.zeros((len(pairs), window), np.float32)
    for row, (_, samples) in zip(pcm, pairs, strict=True):
        row[: len(samples)] = samples
    lengths = np.array([len(samples) for _, samples in pairs], np.int64)
    return Batch(pcm, lengths, tuple(key for key, _ in pairs), number)


def as_buffer(pcm: Samples, dtype: str, channels: int) -> npt.NDArray[Any]:
    """Mono samples [B, S] as a device holds them: [B, S * channels], interleaved.

    ``int16`` has full scale 32,768; ``float32`` stays as it is.
    """
    values: npt.NDArray[Any] = np.ascontiguousarray(pcm, np.float32)
    if dtype == "int16":
        values = np.clip(np.round(values * 32_768), -32_768, 32_767).astype(np.int16)
    return values if channels == 1 else np.repeat(values, channels, axis=1)
