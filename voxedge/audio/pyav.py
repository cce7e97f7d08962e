"""Read audio with PyAV, FFmpeg's libraries: what phones and browsers record, and rare codecs.

Imported only for a clip that libsndfile does not decode: loading FFmpeg takes longer than
identifying a clip. FFmpeg gets the demuxer of the file's signature and may open no other file: left
to guess, it would follow the references of a playlist.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, BinaryIO, TypeAlias

import av
import numpy as np

from voxedge.audio.limits import Samples
from voxedge.audio.pcm import scale
from voxedge.audio.truncation import missing
from voxedge.errors import TruncatedAudio, UnreadableAudio

_NO_OTHER_FILES = {"protocol_whitelist": "none"}
#: Demuxers of containers that state their length; of others FFmpeg estimates it from the bitrate.
_STATE_LENGTH = frozenset(
    ("mov", "matroska", "ogg", "caf", "aiff", "au", "w64", "avi", "wv", "tta")
)
_TOLERANCE = 0.3  # seconds: codecs add and trim some frames at both ends
_Blocks: TypeAlias = Generator[tuple[int, Samples], None, None]
_MICROSECONDS = 1_000_000  # FFmpeg's unit of a container's length


def open_source(file: BinaryIO, size: int, demuxer: str) -> PyavSource:
    """Open a seekable file, which stays open when the source is closed.

    Args:
        file: at any position.
        size: of it, in bytes.
        demuxer: FFmpeg's name of the container.

    Raises:
        TruncatedAudio: too much of it is missing.
        UnreadableAudio: FFmpeg does not decode it, or there is no audio in it.
    """
    cut_off = missing(file, size, demuxer)
    try:
        return _open(file, demuxer, cut_off)
    except UnreadableAudio:
        if cut_off:
            raise TruncatedAudio(f"cut off: {cut_off}") from None
        raise


def _open(file: BinaryIO, demuxer: str, cut_off: str) -> PyavSource:
    file.seek(0)
    source = _Input(file)
    try:
        container = av.open(
            source, "r", demuxer, options=_NO_OTHER_FILES, metadata_errors="replace"
        )
    except av.FFmpegError as error:
        source.raise_error()
        raise UnreadableAudio(f"damaged: {_reason(error)}") from None
    try:
        return PyavSource(container, source, demuxer, cut_off)
    except BaseException:
        container.close()
        raise


class PyavSource(AbstractContextManager["PyavSource"]):
    """A ``decoder.FrameSource`` of a container's audio track; closing it frees the decoder."""

    def __init__(
        self,
        container: Any,  # noqa: ANN401 - av's
        source: _Input,
        demuxer: str,
        cut_off: str,
    ) -> None:
        self._container, self._input, self.cut_off = container, source, cut_off
        self.tracks = len(container.streams.audio)
        track = container.streams.best("audio")
        if track is None:
            raise UnreadableAudio("there is no audio in it")
        if track.codec_context is None:
            raise UnreadableAudio("PyAV does not decode its codec", "another FFmpeg may")
        self._failure = ""
        self._blocks = self._decoded(track)
        # A header may declare another rate, that of HE-AAC half of it: the first frame decides.
        self.rate: int = track.codec_context.sample_rate
        self._rest: Samples = np.empty((0, track.codec_context.channels), np.float32)
        self.rate, self._rest = next(self._blocks, (self.rate, self._rest))
        self.channels = self._rest.shape[1]
        seconds = _length(container, track) if demuxer in _STATE_LENGTH else 0.0
        self.declared_frames = int(seconds * self.rate)
        self.frame_tolerance = int(_TOLERANCE * self.rate)

    def read_block(self, out: Samples) -> tuple[Samples, str]:
        """Read the next frames into ``out`` [F, channels]; see ``decoder.FrameSource``."""
        filled = 0
        while filled < len(out):
            if len(self._rest) == 0 and not self._take_next():
                return out[:filled], self._failure
            part = self._rest[: len(out) - filled]
            out[filled : filled + len(part)] = part
            self._rest = self._rest[len(part) :]
            filled += len(part)
        return out, ""

    def _take_next(self) -> bool:
        """Decode the next frames into ``_rest``; False at the end."""
        rate, self._rest = next(self._blocks, (self.rate, self._rest))
        if rate != self.rate:
            self._failure = f"the sample rate changes to {rate} Hz"
            self._rest = self._rest[:0]
        if self._rest.shape[1] != self.channels:
            mono = self._rest.mean(axis=1, keepdims=True)
            self._rest = np.repeat(mono, self.channels, axis=1)
        return len(self._rest) > 0

    def _decoded(self, track: Any) -> _Blocks:  # noqa: ANN401 - av's stream
        """Yield sample rate (Hz) and samples [F, channels]; the reason of an early end is kept."""
        try:
            for packet in self._container.demux(track):
                for frame in packet.decode():
                    if frame.samples:
                        yield frame.sample_rate, _samples(frame)
        except av.FFmpegError as error:
            self._failure = _reason(error)
        self._input.raise_error()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._blocks.close()
        self._container.close()


class _Input:
    """The file as FFmpeg reads it; an error is the end of it, and raised afterwards.

    PyAV would print a second error, and lose those that are no ``Exception``.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: BaseException | None = None

    def read(self, size: int) -> bytes:
        try:
            return b"" if self._error else self._file.read(size)
        except BaseException as error:  # noqa: BLE001 - a signal among them
            self._error = error
            return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def raise_error(self) -> None:
        """Raise what reading raised, if it did."""
        if self._error is not None:
            raise self._error


def _samples(frame: Any) -> Samples:  # noqa: ANN401 - av's frame
    """Decoded samples [F, channels]; FFmpeg keeps the channels one after the other, or mixed.

    Not by ``frame.to_ndarray()``: of eight channels and more it reads planes that do not exist.
    """
    channels, planar = frame.layout.nb_channels, frame.format.is_planar
    kind = {"u": "u", "s": "i"}.get(frame.format.name[0], "f")  # u8, s16, s32, flt, dbl, ...
    dtype, count = np.dtype(f"{kind}{frame.format.bytes}"), frame.samples
    if planar:
        planes = frame.planes[:channels]
        values = np.stack([np.frombuffer(plane, dtype, count) for plane in planes], axis=1)
    else:
        values = np.frombuffer(frame.planes[0], dtype, count * channels).reshape(count, channels)
    return scale(values, np.empty(values.shape, np.float32))


def _length(container: Any, track: Any) -> float:  # noqa: ANN401 - av's objects
    """Seconds that the container states for the track, or for all of it; 0 for neither."""
    if track.duration and track.time_base:
        return float(track.duration * track.time_base)
    return (container.duration or 0) / _MICROSECONDS


def _reason(error: av.FFmpegError) -> str:
    text = str(error.strerror or error).rstrip(".").lower()
    return "invalid data" if text.startswith("error number") else text
