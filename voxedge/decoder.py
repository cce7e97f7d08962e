"""libsndfile, read forward only and taken at less than its word; and soxr, block by block.

What a decoder says of a file's length, and what it reports only in its log, is held against what
comes out of it. A clip is in memory once, mono, at the rate asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile
import soxr

from voxedge.errors import OutsideLimits, TruncatedAudio, UnreadableAudio
from voxedge.limits import Limits, Samples, check_header, check_length, check_values

_BLOCK = 1 << 16  # samples decoded at a time, over all channels
_MP3_SLACK = 2 * 1152  # encoder delay and padding make an MP3's declared length inexact
_UNKNOWN_FRAMES = (1 << 63) - 1  # of a FLAC that was written to a pipe

#: What libsndfile says in its log only, where a file is shorter than its container claims.
_CUT_OFF = re.compile(
    r"^.*(?:\(should be|end-of-stream bit|after the last page|truncated file).*$", re.MULTILINE
)


def read_mono(
    target: Any,  # noqa: ANN401 - soundfile takes a descriptor or any file-like object
    sample_rate: int,
    limits: Limits,
    strict: bool,
    warnings: list[str],
) -> tuple[Samples, float, int, int]:
    """Samples [S], seconds, rate and channels of what libsndfile opens; adds to ``warnings``.

    Raises:
        AudioError: one of its kinds.
    """
    try:
        file = _Forward(target, closefd=False)
    except (soundfile.LibsndfileError, TypeError, OSError) as error:
        reason = str(getattr(error, "error_string", error)).rstrip(".")
        raise UnreadableAudio(f"not audio that libsndfile decodes: {reason}") from None
    with file:
        rate, channels = file.samplerate, file.channels
        declared = 0 if file.frames == _UNKNOWN_FRAMES else max(0, file.frames)
        check_header(rate, channels, limits)
        cap = int(limits.max_seconds * rate)
        if declared > cap and strict:
            raise OutsideLimits(f"longer than {limits.max_seconds:g} s")
        known = file.format.startswith("WAV")  # wav.parse has said it already
        if cut := None if known else _CUT_OFF.search(file.extra_info):
            warnings.append(f"cut off, or its header lies: {cut[0].strip()}")
            if strict:
                raise TruncatedAudio(warnings[-1])
        sink = _Sink(int(min(declared, cap) * sample_rate / rate) + 1)
        resampled = Resampler(rate, sample_rate)
        frames = 0
        for mono in _blocks(file, cap, warnings):
            frames += len(mono)
            sink.put(resampled(mono))
        sink.put(resampled(np.empty(0, np.float32), last=True))
        slack = _MP3_SLACK if file.format == "MP3" else 0
        if frames + slack < min(declared, cap):
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
    if frames == 0 and (declared > 0 or cut):
        raise TruncatedAudio(f"cut off: {declared} frames declared, none decoded")
    check_length(frames / rate, limits)
    return samples, frames / rate, rate, channels


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """Read from start to end: soundfile would seek after every block, slow, and in a FLAC whose
    header lies about its length an error."""

    def seekable(self) -> bool:
        return False


def _blocks(file: _Forward, cap: int, warnings: list[str]) -> Iterator[Samples]:
    """Mono blocks up to ``cap`` frames; a decoder that stumbles ends the audio, with a warning."""
    buffer = np.empty((max(1, _BLOCK // file.channels), file.channels), np.float32)
    left = cap
    while left > 0:
        block = buffer[:left]
        block.fill(np.nan)  # stays where a decoder that stumbles has not come
        reason = ""
        try:
            block = file.read(out=block)
        except soundfile.LibsndfileError as error:
            reason = error.error_string.rstrip(".")
            block = block[: int(np.isnan(np.append(block[:, 0], np.nan)).argmax())]
            if len(block) == 0 and left == cap:
                raise UnreadableAudio(f"cannot be decoded: {reason}") from None
        left -= len(block)
        if len(block):
            check_values(block)
            yield block[:, 0] if file.channels == 1 else block.mean(axis=1)
        if reason:
            seconds = (cap - left) / file.samplerate
            warnings.append(f"decoding stopped after {seconds:.2f} s: {reason}")
        if reason or len(block) == 0:
            return


class Resampler:
    """soxr over blocks, without the clip's offset: else a constant would ring at both its ends."""

    def __init__(self, rate: int, sample_rate: int) -> None:
        same = rate == sample_rate
        self._stream = None if same else soxr.ResampleStream(rate, sample_rate, 1, dtype="float32")
        self._offset: np.float32 | None = None

    def __call__(self, mono: Samples, last: bool = False) -> Samples:
        if self._stream is None:
            return mono
        if self._offset is None:
            self._offset = mono.mean() if len(mono) else np.float32(0)
        block: Samples = self._stream.resample_chunk(mono - self._offset, last=last)
        return block + self._offset


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
