"""Find clips of a speaker that are one take: in two formats, at two levels, or saved twice.

On two sides of a split such clips make a test easier than it is, and equal samples do not find
them. Two clips are one take if they correlate sample by sample, between 200 and 2,000 Hz, over all
and in the tenths of a second that are not quiet. For copies of 50 clips of speech as MP3, Vorbis,
Opus, AAC, WMA, GSM and mu-law both figures were above 0.92; for 2,418 pairs in which a speaker says
one word twice the lower of them was at most 0.79. As AMR or Opus of 6 kbit/s it was 0.77 to 0.95:
such copies are found if their names differ in nothing but the format.

To correlate all pairs would take too long. It is done for clips whose loudness over time nearly
agrees, and for those of one name.

Shapes: N clips, S samples, F frames of an envelope.
"""

from __future__ import annotations

import functools
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from voxedge.audio.formats import AV_SUFFIXES, SUFFIXES
from voxedge.audio.limits import Samples
from voxedge.names import speaker_name

_SECONDS = 30  # of a clip that are compared
_OFFSET = 0.25  # seconds that encoders may add

_FRAMES = 25  # a second
_FLOOR = 1e-2  # of the mean power: below it the noise of an encoder would count
_BLOCK = 256  # clips compared with all others at once
_ENVELOPE = 0.9  # least correlation of the envelopes

_BAND = (200, 2_000)  # Hz: above the hum of mains, below what encoders replace
_BAND_RATE = 2 * _BAND[1]  # Hz
_SEGMENT = _BAND_RATE // 10  # samples
_QUIET = 1e-2  # of the power of the loudest segment
_SAME_TAKE = 0.85  # least correlation of the samples
_SAME_TAKE_AND_NAME = 0.7
_CACHED = 128  # clips of one speaker that are held

_ANY_SUFFIX = SUFFIXES | AV_SUFFIXES
_LOSSY = AV_SUFFIXES | {".mp3", ".mp2", ".ogg", ".oga", ".opus"}


@dataclass(frozen=True)
class Take:
    """A clip to compare with the others of its speaker."""

    name: str  # path of the file
    seconds: float
    rate: int  # Hz, of the file
    envelope: Samples  # [F], by ``envelope``
    samples: Callable[[], Samples]  # [S]


def envelope(samples: Samples, rate: int) -> Samples:
    """The loudness of a clip [S] over time: logarithms of power, of mean 0 and norm 1, [F]."""
    step = max(1, rate // _BAND_RATE)
    count = min(len(samples), _SECONDS * rate) // step
    means = samples[: count * step].reshape(count, step) @ np.full(step, 1 / step, np.float32)
    slow = np.diff(means)
    hop = rate // step // _FRAMES
    frames = slow[: len(slow) // hop * hop].reshape(-1, hop)
    power = np.square(frames).mean(axis=1)
    if not power.any():
        return np.zeros(len(power), np.float32)
    level = np.log(power + _FLOOR * power.mean())
    level -= level.mean()
    unit: Samples = (level / (np.linalg.norm(level) + 1e-9)).astype(np.float32)
    return unit


def near_duplicates(takes: Sequence[Take], rate: int) -> list[tuple[int, int]]:
    """Pairs of clips (index of the better one, index of its copy) that are one take.

    Lossless formats are better, then higher rates, then earlier clips. A clip is the copy of at
    most one.

    Args:
        takes: the clips of one speaker.
        rate: of their samples, Hz.
    """
    rank = sorted(
        range(len(takes)), key=lambda index: (_is_lossy(takes[index]), -takes[index].rate)
    )
    ranked = [takes[index] for index in rank]

    @functools.lru_cache(_CACHED)
    def band(index: int) -> Samples:
        return _band(ranked[index].samples(), rate)

    copies: dict[int, int] = {}
    same_name = set(_same_names(ranked))
    for better, worse in sorted(same_name | set(_alike_envelopes(ranked))):
        if better in copies or worse in copies:
            continue
        least = _SAME_TAKE_AND_NAME if (better, worse) in same_name else _SAME_TAKE
        if _correlation(band(better), band(worse)) >= least:
            copies[worse] = better
    return [(rank[better], rank[worse]) for worse, better in copies.items()]


def _is_lossy(take: Take) -> bool:
    return os.path.splitext(take.name)[1].lower() in _LOSSY  # noqa: PTH122


def _same_names(takes: Sequence[Take]) -> Iterator[tuple[int, int]]:
    """Pairs of files whose names are the same except for the ending: a.wav and a.mp3."""
    by_stem: defaultdict[str, list[int]] = defaultdict(list)
    endings = []
    for index, take in enumerate(takes):
        stem, suffix = os.path.splitext(os.path.basename(take.name))  # noqa: PTH119, PTH122
        endings.append(suffix.lower())
        while (inner := os.path.splitext(stem))[1].lower() in _ANY_SUFFIX:  # noqa: PTH122
            stem = inner[0]  # a.wav.mp3
        by_stem[speaker_name(stem).lower()].append(index)
    for same in by_stem.values():
        for pair in combinations(same, 2):
            if endings[pair[0]] != endings[pair[1]]:
                yield pair


def _alike_envelopes(takes: Sequence[Take]) -> Iterator[tuple[int, int]]:
    """Pairs of clips whose lengths and envelopes nearly agree."""
    seconds = np.array([min(take.seconds, _SECONDS) for take in takes])
    order = np.argsort(seconds, kind="stable")
    seconds = seconds[order]
    for start in range(0, len(order), _BLOCK):
        rows = order[start : start + _BLOCK]
        longest = seconds[start + len(rows) - 1] + _OFFSET
        end = int(np.searchsorted(seconds, longest, side="right"))
        alike = _envelope_correlations(takes, order[start:end], len(rows)) >= _ENVELOPE
        for row, column in np.argwhere(alike):
            far = seconds[start + column] - seconds[start + row] > _OFFSET
            if column > row and not far:
                first, second = sorted((int(rows[row]), int(order[start + column])))
                yield first, second


def _envelope_correlations(
    takes: Sequence[Take], columns: npt.NDArray[np.intp], rows: int
) -> Samples:
    """Correlations [rows, N] of the first clips with all, at the best of a few offsets."""
    most = int(_OFFSET * _FRAMES)
    width = max(len(takes[index].envelope) for index in columns)
    padded = np.zeros((len(columns), width + most), np.float32)
    for row, index in zip(padded, columns, strict=True):
        own = takes[index].envelope
        row[: len(own)] = own
    best: Samples = np.full((rows, len(columns)), -1, np.float32)
    for offset in range(most + 1):
        early, late = padded[:, : padded.shape[1] - offset], padded[:, offset:]
        np.maximum(best, late[:rows] @ early.T, out=best)
        np.maximum(best, early[:rows] @ late.T, out=best)
    return best


def _band(samples: Samples, rate: int) -> Samples:
    """The part of samples [S] within ``_BAND``, at ``_BAND_RATE``."""
    samples = samples[: _SECONDS * rate]
    seconds = -(-len(samples) // rate)  # whole, so that both rates have a whole number of samples
    spectrum = np.fft.rfft(samples, seconds * rate)[: _BAND[1] * seconds + 1]
    spectrum[: _BAND[0] * seconds] = 0
    band: Samples = np.fft.irfft(spectrum, _BAND_RATE * seconds).astype(np.float32)
    return band[: len(samples) * _BAND_RATE // rate]


def _correlation(first: Samples, second: Samples) -> float:
    """The correlation of two clips at their best offset: over all or of segments, the lower one."""
    size = 1 << (len(first) + len(second)).bit_length()
    product = np.fft.rfft(first, size) * np.fft.rfft(second, size).conj()
    at_offsets = np.abs(np.fft.irfft(product, size))
    offset = int(at_offsets.argmax())
    over_all = at_offsets[offset] / _norm(first @ first, second @ second)
    if offset > size // 2:
        second = second[size - offset :]
    else:
        first = first[offset:]
    count = min(len(first), len(second)) // _SEGMENT
    if count == 0:
        return 0.0
    parts = (samples[: count * _SEGMENT].reshape(count, _SEGMENT) for samples in (first, second))
    one, other = parts
    norms = _norm(np.square(one).sum(axis=1), np.square(other).sum(axis=1))
    loud = norms >= _QUIET * norms.max()
    by_segment = np.abs((one * other).sum(axis=1)) / norms
    return float(min(over_all, by_segment[loud].mean()))


def _norm(
    first: npt.NDArray[np.float32] | np.float32, second: npt.NDArray[np.float32] | np.float32
) -> npt.NDArray[np.float32]:
    norm: npt.NDArray[np.float32] = np.sqrt(np.asarray(first * second)) + np.float32(1e-12)
    return norm
