"""The limits on clips and windows, and the checks that refuse a clip before memory is spent on it.

Each bound has its name here and nowhere else: model files, recipes, the export's input format and
the command line all refer to these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from voxedge.errors import BadSamples, OutsideLimits, TooShort, UsageError

Samples: TypeAlias = npt.NDArray[np.float32]

MIN_RATE, MAX_RATE = 4_000, 384_000  # Hz
MAX_CHANNELS = 32
MIN_SECONDS = 0.25  # of a clip, unless the model file says otherwise
MAX_SECONDS = 3_600.0  # of a clip that are used
MAX_BYTES = 1 << 30  # of an audio file
MIN_WINDOW_SECONDS = 0.25  # shorter windows would cut a long clip into millions
MAX_WINDOW_SECONDS = 60.0

_MAX_PEAK = 64.0  # +36 dBFS: beyond any float recording, far below unscaled 16-bit integers


@dataclass(frozen=True)
class Limits:
    """Which clips are accepted."""

    min_rate: int = MIN_RATE  # Hz
    max_rate: int = MAX_RATE  # Hz
    max_channels: int = MAX_CHANNELS
    max_seconds: float = MAX_SECONDS  # a longer clip is cut here, with a warning
    max_bytes: int = MAX_BYTES
    min_seconds: float = MIN_SECONDS

    def __post_init__(self) -> None:
        if not 0 < self.max_seconds <= 1e6:
            raise UsageError(f"max_seconds must be above 0, not {self.max_seconds}")
        if not 0 <= self.min_seconds <= 1e6:  # NaN would let every length pass
            raise UsageError(f"min_seconds must be a number from 0 on, not {self.min_seconds}")


def check_header(rate: int, channels: int, limits: Limits) -> None:
    """Refuse a sample rate (Hz) or a channel count outside the limits.

    Raises:
        OutsideLimits: one of them is.
    """
    if not limits.min_rate <= rate <= limits.max_rate:
        raise OutsideLimits(
            f"a sample rate of {rate} Hz; accepted are {limits.min_rate} to {limits.max_rate}"
        )
    if not 1 <= channels <= limits.max_channels:
        raise OutsideLimits(f"{channels} channels; accepted are 1 to {limits.max_channels}")


def check_length(seconds: float, limits: Limits) -> None:
    """Refuse a clip that is too short.

    Raises:
        TooShort: it is.
    """
    if seconds < limits.min_seconds:
        raise TooShort(f"{seconds:.4f} s of audio; at least {limits.min_seconds:g} s are needed")


def check_values(samples: Samples) -> None:
    """Refuse NaN, infinity, and integers that were never scaled to [-1, 1].

    Raises:
        BadSamples: there are such values among the samples.
    """
    if not len(samples):
        return
    peak = max(float(samples.max()), -float(samples.min()))  # NaN survives max and min
    if not np.isfinite(peak):
        raise BadSamples("samples that are NaN or infinite")
    if peak > _MAX_PEAK:
        raise BadSamples(
            f"samples up to {peak:.3g}, expected are [-1, 1]",
            "scale integers by the range of their type",
        )
