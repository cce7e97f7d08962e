"""Decode a clip block by block: to mono, to the requested sample rate, into one array.

The length that the file declares is compared with the frames that really come. Memory holds one
copy of the clip, mono and at the requested rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from voxedge.audio.downmix import BLOCK, Downmix
from voxedge.audio.limits import Limits, Samples, check_header, check_length, check_values
from voxedge.audio.resample import Resampler
from voxedge.errors import OutsideLimits, TruncatedAudio, UnreadableAudio


class FrameSource(Protocol):
    """An opened file that gives its frames in order: ``pcm``, ``libsndfile`` or ``pyav``."""

    @property
    def rate(self) -> int:
        """Hz."""

    @property
    def channels(self) -> int:
        """Samples of a frame."""

    @property
    def declared_frames(self) -> int:
        """Frames by the header; 0 where it does not say."""

    @property
    def frame_tolerance(self) -> int:
        """How many frames fewer than declared are no fault."""

    @property
    def cut_off(self) -> str:
        """What the decoder reported about missing data when it opened the file, or ""."""

    def read_block(self, out: Samples) -> tuple[Samples, str]:
        """Read the next frames into ``out`` [F, channels].

        Returns:
            The part of ``out`` that was filled, empty at the end; and why decoding failed, or "".
        """


def read_mono(
    source: FrameSource, sample_rate: int, limits: Limits, strict: bool, warnings: list[str]
) -> tuple[Samples, float]:
    """Decode all of a source to samples [S] at ``sample_rate`` Hz, and its length in seconds.

    Args:
        source: at its first frame.
        sample_rate: of the result, Hz.
        limits: a longer clip is cut at ``max_seconds``.
        strict: raise what is otherwise added to ``warnings``.
        warnings: gets what is wrong with a clip that can be used all the same.

    Raises:
        AudioError: one of its kinds.
    """
    rate, declared = source.rate, source.declared_frames
    check_header(rate, source.channels, limits)
    cap = int(limits.max_seconds * rate)
    too_long = f"longer than {limits.max_seconds:g} s"
    if declared > cap and strict:
        raise OutsideLimits(too_long)
    if source.cut_off:
        warnings.append(f"cut off, or its header is wrong: {source.cut_off}")
        if strict:
            raise TruncatedAudio(warnings[-1])
    decoded = _GrowingArray(int(min(declared, cap) * sample_rate / rate) + 1)
    resampler, downmix = Resampler(rate, sample_rate), Downmix(rate, source.channels)
    frames = 0
    for block in _blocks(source, cap, strict, warnings):
        frames += len(block)
        decoded.append(resampler(downmix(block)))
    decoded.append(resampler(np.empty(0, np.float32), last=True))
    if frames + source.frame_tolerance < min(declared, cap):
        message = f"cut off: {declared} frames declared, {frames} decoded"
        if strict:
            raise TruncatedAudio(message)
        warnings.append(message)
    if frames == cap != declared:
        warnings.append(f"{too_long}: the rest is left out")
        if strict:
            raise OutsideLimits(too_long)
    warnings += downmix.warnings(frames)
    samples = decoded.finish()
    check_values(samples)
    if frames == 0 and (declared > 0 or source.cut_off):
        raise TruncatedAudio(f"cut off: {declared} frames declared, none decoded")
    check_length(frames / rate, limits)
    return samples, frames / rate


def _blocks(source: FrameSource, cap: int, strict: bool, warnings: list[str]) -> Iterator[Samples]:
    """Yield blocks [F, channels] of ``cap`` frames in all; a decoder that fails ends the clip."""
    buffer = np.empty((max(1, BLOCK // source.channels), source.channels), np.float32)
    left = cap
    while left > 0:
        block, failure = source.read_block(buffer[:left])
        if failure and len(block) == 0 and left == cap:
            raise UnreadableAudio(f"cannot be decoded: {failure}")
        left -= len(block)
        if len(block):
            check_values(block)
            yield block
        if failure:
            seconds = (cap - left) / source.rate
            warnings.append(f"decoding stopped after {seconds:.2f} s: {failure}")
            if strict:
                raise TruncatedAudio(warnings[-1])
        if failure or len(block) == 0:
            return


class _GrowingArray:
    """An array that blocks are appended to in place: an hour of audio is in memory only once."""

    def __init__(self, capacity: int) -> None:
        self._array = np.empty(capacity, np.float32)  # untouched pages cost nothing
        self._used = 0

    def append(self, block: Samples) -> None:
        end = self._used + len(block)
        if end > len(self._array):
            self._array.resize(max(end, 2 * self._used), refcheck=False)
        self._array[self._used : end] = block
        self._used = end

    def finish(self) -> Samples:
        """Give back the unused capacity, and the array."""
        self._array.resize(self._used, refcheck=False)
        return self._array
