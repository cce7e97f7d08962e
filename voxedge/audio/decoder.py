"""Decode a clip block by block: to mono, to the requested sample rate, as a stream or one array.

The length that the file declares is compared with the frames that really come. Memory holds one
block, or one copy of the clip, mono and at the requested rate.
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


class Blocks(Protocol):
    """The samples of a clip block by block, as ``MonoBlocks`` gives them."""

    seconds: float  # decoded so far
    warnings: list[str]

    @property
    def expected_seconds(self) -> float:
        """The length by the header; 0 where it does not say."""

    def __iter__(self) -> Iterator[Samples]:
        """Yield the blocks [S], some of which may be empty."""


class MonoBlocks:
    """The samples of a source, mono and at a wanted rate, block by block, and once.

    Args:
        source: at its first frame.
        sample_rate: of the blocks, Hz.
        limits: a longer clip is cut at ``max_seconds``.
        strict: raise what is otherwise added to ``warnings``.
        warnings: gets what is wrong with a clip that can be used all the same.

    Raises:
        AudioError: one of its kinds, for what the header says.
    """

    def __init__(
        self,
        source: FrameSource,
        sample_rate: int,
        limits: Limits,
        strict: bool,
        warnings: list[str],
    ) -> None:
        check_header(source.rate, source.channels, limits)
        self.rate, self.channels = source.rate, source.channels  # Hz, of the file
        self.seconds = 0.0  # decoded so far
        self.warnings = warnings
        self._source, self._limits, self._strict = source, limits, strict
        self._sample_rate = sample_rate
        self._cap = int(limits.max_seconds * source.rate)  # frames
        if source.declared_frames > self._cap and strict:
            raise OutsideLimits(self._too_long)
        if source.cut_off:
            self._warn(TruncatedAudio(f"cut off, or its header is wrong: {source.cut_off}"))

    @property
    def expected_seconds(self) -> float:
        """The length by the header, as far as it is read; 0 where it does not say."""
        return min(self._source.declared_frames, self._cap) / self.rate

    def __iter__(self) -> Iterator[Samples]:
        """Yield the blocks [S], some of which may be empty.

        Raises:
            AudioError: one of its kinds, at the block that is unusable, or at the end.
        """
        for block in self._passing():
            yield block.copy()

    def read(self) -> Samples:
        """All of it in one array [S].

        Raises:
            AudioError: one of its kinds.
        """
        array = _GrowingArray(int(self.expected_seconds * self._sample_rate) + 1)
        for block in self._passing():
            array.append(block)
        return array.finish()

    def _passing(self) -> Iterator[Samples]:
        """Yield the blocks, each of which the next one may overwrite."""
        try:
            yield from self._decoded()
        except OSError as error:  # a failing disk, a lost network share
            raise UnreadableAudio(f"cannot be read: {error.strerror or error}") from None

    def _decoded(self) -> Iterator[Samples]:
        source, declared = self._source, self._source.declared_frames
        resampler, downmix = (
            Resampler(self.rate, self._sample_rate),
            Downmix(self.rate, self.channels),
        )
        frames = 0
        for block in _blocks(source, self._cap, self._strict, self.warnings):
            frames += len(block)
            self.seconds = frames / self.rate
            yield _checked(resampler(downmix(block)))
        yield _checked(resampler(np.empty(0, np.float32), last=True))
        if frames + source.frame_tolerance < min(declared, self._cap):
            self._warn(TruncatedAudio(f"cut off: {declared} frames declared, {frames} decoded"))
        if frames == self._cap != declared:
            self.warnings.append(f"{self._too_long}: the rest is left out")
            if self._strict:
                raise OutsideLimits(self._too_long)
        self.warnings += downmix.warnings(frames)
        if frames == 0 and (declared > 0 or source.cut_off):
            raise TruncatedAudio(f"cut off: {declared} frames declared, none decoded")
        check_length(self.seconds, self._limits)

    @property
    def _too_long(self) -> str:
        return f"longer than {self._limits.max_seconds:g} s"

    def _warn(self, error: TruncatedAudio) -> None:
        """Warn of an error, or raise it."""
        if self._strict:
            raise error
        self.warnings.append(error.message)


def _checked(block: Samples) -> Samples:
    check_values(block)
    return block


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
