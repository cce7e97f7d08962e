"""A clip's blocks to mono, to the rate asked for (soxr), and into one array.

What a file says of its length is held against what comes out of it. A clip is in memory once, mono,
at the rate asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from voxedge.audio.limits import Limits, Samples, check_header, check_length, check_values
from voxedge.audio.resample import Resampler
from voxedge.errors import OutsideLimits, TruncatedAudio, UnreadableAudio

_BLOCK = 1 << 16  # samples decoded at a time, over all channels


class Source(Protocol):
    """Gives the frames of an opened file: ``audio.pcm`` or ``audio.libsndfile``."""

    @property
    def rate(self) -> int:
        """Hz."""

    @property
    def channels(self) -> int:
        """Of a frame."""

    @property
    def declared(self) -> int:
        """Frames, by the header; 0 where it does not say."""

    @property
    def slack(self) -> int:
        """Frames by which less may come than is declared."""

    @property
    def cut_off(self) -> str:
        """What the decoder noticed of missing data when it opened the file."""

    def block(self, out: Samples) -> tuple[Samples, str]:
        """The next frames, into ``out`` [F, channels]; and why they are the last, if it stumbled.

        None are left when no frame comes.
        """


def read_mono(
    source: Source, sample_rate: int, limits: Limits, strict: bool, warnings: list[str]
) -> tuple[Samples, float]:
    """Samples [S] at ``sample_rate`` Hz, and seconds as decoded; adds to ``warnings``.

    Raises:
        AudioError: one of its kinds.
    """
    rate, declared = source.rate, source.declared
    check_header(rate, source.channels, limits)
    cap = int(limits.max_seconds * rate)
    if declared > cap and strict:
        raise OutsideLimits(f"longer than {limits.max_seconds:g} s")
    if source.cut_off:
        warnings.append(f"cut off, or its header lies: {source.cut_off}")
        if strict:
            raise TruncatedAudio(warnings[-1])
    sink = _Sink(int(min(declared, cap) * sample_rate / rate) + 1)
    resampled = Resampler(rate, sample_rate)
    frames = 0
    for mono in _blocks(source, cap, warnings):
        frames += len(mono)
        sink.put(resampled(mono))
    sink.put(resampled(np.empty(0, np.float32), last=True))
    if frames + source.slack < min(declared, cap):
        message = f"cut off: {declared} frames declared, {frames} decoded"
        if strict:
            raise TruncatedAudio(message)
        warnings.append(message)
    if frames == cap != declared:
        warnings.append(f"longer than {limits.max_seconds:g} s: the rest is left out")
        if strict:
            raise OutsideLimits(f"longer than {limits.max_seconds:g} s")
    samples = sink.taken()
    check_values(samples)
    if frames == 0 and (declared > 0 or source.cut_off):
        raise TruncatedAudio(f"cut off: {declared} frames declared, none decoded")
    check_length(frames / rate, limits)
    return samples, frames / rate


def _blocks(source: Source, cap: int, warnings: list[str]) -> Iterator[Samples]:
    """Mono blocks up to ``cap`` frames; a decoder that stumbles ends the audio, with a warning."""
    buffer = np.empty((max(1, _BLOCK // source.channels), source.channels), np.float32)
    left = cap
    while left > 0:
        block, reason = source.block(buffer[:left])
        if reason and len(block) == 0 and left == cap:
            raise UnreadableAudio(f"cannot be decoded: {reason}")
        left -= len(block)
        if len(block):
            check_values(block)
            yield block[:, 0] if source.channels == 1 else block.mean(axis=1)
        if reason:
            seconds = (cap - left) / source.rate
            warnings.append(f"decoding stopped after {seconds:.2f} s: {reason}")
        if reason or len(block) == 0:
            return


class _Sink:
    """One growing array: an hour of audio is held once, not once in blocks and once joined."""

    def __init__(self, capacity: int) -> None:
        self._array = np.empty(capacity, np.float32)  # untouched pages cost nothing
        self._used = 0

    def put(self, block: Samples) -> None:
        end = self._used + len(block)
        if end > len(self._array):
            self._array.resize(max(end, 2 * self._used), refcheck=False)
        self._array[self._used : end] = block
        self._used = end

    def taken(self) -> Samples:
        self._array.resize(self._used, refcheck=False)
        return self._array
