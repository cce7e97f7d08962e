"""What is refused, and the checks that refuse it: before memory is spent or values used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from voxedge.errors import BadSamples, OutsideLimits, TooShort, UsageError

Samples: TypeAlias = npt.NDArray[np.float32]

_MAX_PEAK = 64.0  # +36 dBFS: beyond any float recording, far below unscaled 16-bit integers


@dataclass(frozen=True)
class Limits:
    """What is refused before memory is spent on it."""

    min_rate: int = 4_000  # Hz
    max_rate: int = 384_000  # Hz
    max_channels: int = 32
    max_seconds: float = 3_600.0  # of one clip; the rest is left out, with a warning
    max_bytes: int = 1 << 30
    min_seconds: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.max_seconds <= 1e6:
            raise UsageError(f"max_seconds must be above 0, not {self.max_seconds}")


def check_header(rate: int, channels: int, limits: Limits) -> None:
    """Refuse rates (Hz) and channel counts outside the limits."""
    if not limits.min_rate <= rate <= limits.max_rate:
        raise OutsideLimits(
            f"a sample rate of {rate} Hz; accepted are {limits.min_rate} to {limits.max_rate}"
        )
    if not 1 <= channels <= limits.max_channels:
        raise OutsideLimits(f"{channels} channels; accepted are 1 to {limits.max_channels}")


def check_length(seconds: float, limits: Limits) -> None:
    """Refuse a clip that is too short."""
    if seconds < limits.min_seconds:
        raise TooShort(f"{seconds:.4f} s of audio; at least {limits.min_seconds:g} s are needed")


def check_values(samples: Samples) -> None:
    """Refuse NaN, infinity, and what was never scaled to [-1, 1]."""
    if not len(samples):
        return
    peak = max(float(samples.max()), -float(samples.min()))  # NaN survives max and min
    if not np.isfinite(peak):
        raise BadSamples("samples that are NaN or infinite")
    if peak > _MAX_PEAK:
        raise BadSamples(
            f"samples up to {peak:.3g}", "expected are [-1, 1]: scale integers by their range"
        )
