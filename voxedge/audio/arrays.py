"""Take samples that are already in memory: check them, mix them to mono and resample them.

Shapes: S samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from voxedge.audio.downmix import BLOCK, Downmix
from voxedge.audio.limits import Limits, Samples, check_header, check_length, check_values
from voxedge.audio.load import Audio
from voxedge.audio.pcm import scale
from voxedge.audio.resample import Resampler
from voxedge.errors import BadSamples, UsageError

_STEP = 2.0**-15  # of 16-bit samples in [-1, 1]
_MOSTLY_EXTREME = 0.7  # RMS in [-1, 1] of signed values that are taken for unsigned ones


def from_array(
    array: npt.ArrayLike, rate: float, sample_rate: int, limits: Limits | None = None
) -> Audio:
    """Check, downmix and resample samples.

    Args:
        array: [S] or [S, channels]; float in [-1, 1], or an integer type (scaled by its range).
        rate: of ``array``, Hz.
        sample_rate: of the result, Hz.
        limits: which clips are accepted.

    Raises:
        AudioError: one of its kinds, for anything that is not usable audio.
        UsageError: ``rate`` is not a whole number.
    """
    limits, hertz = limits or Limits(), _whole_number(rate)
    values = _as_samples(array, limits.max_channels)
    channels = 1 if values.ndim == 1 else values.shape[1]
    check_header(hertz, channels, limits)
    samples = scale(values, np.empty(values.shape, np.float32))
    check_values(samples)
    warnings = _check_scale(values, samples)
    downmix = Downmix(hertz, channels)
    mono = samples
    if samples.ndim == 2:
        blocks = np.array_split(samples, range(BLOCK // channels, len(samples), BLOCK // channels))
        mono = np.concatenate([downmix(block) for block in blocks])
        warnings += downmix.warnings(len(samples))
    check_length(len(mono) / hertz, limits)
    mono = Resampler(hertz, sample_rate)(mono, last=True)
    check_values(mono)
    seconds = len(values) / hertz
    return Audio(np.ascontiguousarray(mono), seconds, hertz, channels, tuple(warnings))


def _whole_number(rate: float) -> int:
    try:
        hertz = int(rate)
    except (TypeError, ValueError, OverflowError):
        hertz = None
    if hertz is None or hertz != rate:
        raise UsageError(f"sample_rate must be a whole number of Hz, not {rate!r}")
    return hertz


def _as_samples(array: npt.ArrayLike, max_channels: int) -> npt.NDArray[Any]:
    """The array, if its type and shape are those of one clip.

    Raises:
        BadSamples: they are not.
    """
    kind = type(array).__name__
    try:
        values = np.asarray(array)
    except Exception as error:  # noqa: BLE001 - any library's arrays, with its own errors
        raise BadSamples(f"not an array of samples, but a {kind}: {str(error)[:200]}") from None
    if values.ndim == 0 and values.dtype.kind not in "fiu":
        raise BadSamples(
            f"{kind} is no source: a path, the bytes of a file, a binary file, or an array"
        )
    if values.ndim not in (1, 2) or values.dtype.kind not in "fiu":
        raise BadSamples(
            f"samples must be real numbers of shape [S] or [S, channels], not {values.dtype}"
            f" {list(values.shape)}"
        )
    if values.dtype.kind != "f" and values.dtype.itemsize == 8:
        raise BadSamples(
            f"{values.dtype} samples, whose range is not known",
            "convert them to the type of the recording: array.astype('int16')",
        )
    if values.ndim == 2 and values.shape[0] <= max_channels < values.shape[1]:
        raise BadSamples(
            f"samples of shape {list(values.shape)} are [channels, S]; [S, channels] is expected",
            "pass array.T",
        )
    return values


def _check_scale(values: npt.NDArray[Any], samples: Samples) -> list[str]:
    """Compare the values of an array with the range of its type.

    Args:
        values: as they came.
        samples: the same in [-1, 1].

    Returns:
        Warnings.

    Raises:
        BadSamples: the values are those of another type.
    """
    kind, bits = values.dtype.kind, 8 * values.dtype.itemsize
    lowest, highest = (values.min(), values.max()) if values.size else (0, 0)
    if lowest == highest:
        return []
    if kind == "f":
        peak = max(-float(lowest), float(highest))
        return [f"samples up to {peak:.2g}: were they scaled twice?"] if peak < _STEP else []
    used = max(int(highest).bit_length(), int(~lowest if lowest < 0 else lowest).bit_length())
    used += kind == "i"  # the sign
    if bits == 32 and used <= 16:
        name = "int16" if kind == "i" else "uint16"
        raise BadSamples(
            f"{values.dtype} samples that fit into 16 bits", f"pass array.astype('{name}')"
        )
    if kind == "u" and float(np.sqrt(np.mean(np.square(samples)))) > _MOSTLY_EXTREME:
        name = f"int{bits}"
        raise BadSamples(
            f"{values.dtype} samples that look like {name} ones", f"pass array.view('{name}')"
        )
    unused = bits - used
    if unused >= 8:
        return [f"the {values.dtype} samples use {used} of {bits} bits: is that their range?"]
    return []
