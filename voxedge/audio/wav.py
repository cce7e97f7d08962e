"""Parse a RIFF/WAVE header, and compare what it declares with what the file really holds.

libsndfile believes headers, hides short reads, and has hung on crafted files. So the chunks are
walked here, and libsndfile gets a rebuilt file: a new 12-byte RIFF head, the ``fmt`` chunk as it
was, and the bytes of ``data`` that exist. Layout: Microsoft, "Multimedia Programming Interface and
Data Specifications 1.0" (RIFF, RIFX); EBU Tech 3306 (RF64).
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import BinaryIO

from voxedge.errors import UnreadableAudio

MAGICS = (b"RIFF", b"RIFX", b"RF64")
_MAX_CHUNKS = 65_536
_UNKNOWN = 0xFFFFFFFF  # the size that a recorder writes before it knows the length
_SAMPLE_CODES = {1, 3, 6, 7}  # PCM, IEEE float, A-law, mu-law: one frame is one block
_EXTENSIBLE = 0xFFFE
_PLAIN = {(1, 8): "u1", (1, 16): "i2", (1, 32): "i4", (3, 32): "f4", (3, 64): "f8"}  # code, bits


@dataclass(frozen=True)
class WavLayout:
    """Where the audio of a WAV file is, in which format, and what is wrong with the file."""

    order: str  # byte order, "<" or ">" as in struct
    fmt: bytes  # body of the fmt chunk
    data_start: int  # offset of the samples
    data_bytes: int  # that are declared and exist
    channels: int
    rate: int  # Hz
    warnings: tuple[str, ...]
    truncated: bool  # fewer bytes exist than are declared

    @property
    def dtype(self) -> str | None:
        """NumPy's name of the sample type; None where the samples have to be decoded."""
        tag, *_, bits = struct.unpack(self.order + "HHIIHH", self.fmt[:16])
        name = _PLAIN.get((tag, bits))
        return name and self.order + name

    def rebuilt(self, file: BinaryIO) -> io.RawIOBase:
        """A view of ``file`` as a WAV whose header is true, with these samples and nothing else."""
        size = struct.pack(self.order + "I", 4 + 8 + len(self.fmt) + 8 + self.data_bytes)
        head = (b"RIFX" if self.order == ">" else b"RIFF") + size + b"WAVE"
        head += b"fmt " + struct.pack(self.order + "I", len(self.fmt)) + self.fmt
        head += b"data" + struct.pack(self.order + "I", self.data_bytes)
        return Spliced(head, file, self.data_start, self.data_bytes)


def parse(file: BinaryIO, size: int) -> WavLayout:
    """Walk the chunks of a seekable file that starts with one of ``MAGICS``.

    Args:
        file: the WAV file.
        size: of it, in bytes.

    Raises:
        UnreadableAudio: the header contradicts itself, or there is no audio.
    """
    file.seek(0)
    head = file.read(12)
    if len(head) < 12 or head[8:12] != b"WAVE":
        raise UnreadableAudio("the RIFF header is cut off or does not hold WAVE audio")
    order = ">" if head[:4] == b"RIFX" else "<"
    wide: int | None = None  # the data size of an RF64 file
    fmt: bytes | None = None
    data: tuple[int, int] | None = None  # start, declared size
    leftover = 0
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > size:
            leftover = size - position if data else 0
            break
        file.seek(position)
        name, length = struct.unpack(order + "4sI", file.read(8))
        body = position + 8
        if data and not (all(32 <= byte < 127 for byte in name) and body + length <= size):
            leftover = size - position
            break
        if name == b"ds64" and length >= 28 and body + 28 <= size:
            wide = struct.unpack("<Q", file.read(28)[8:16])[0]
        elif name == b"fmt ":
            if fmt is not None:
                raise UnreadableAudio("the WAV header has two fmt chunks")
            if not 16 <= length <= 4096 or body + length > size:
                raise UnreadableAudio("the WAV header's fmt chunk is cut off or of impossible size")
            fmt = file.read(length)
        elif name == b"data":
            if fmt is None:
                raise UnreadableAudio("the WAV file's data chunk comes before its fmt chunk")
            if data is not None:
                raise UnreadableAudio("the WAV file has two data chunks")
            if head[:4] == b"RF64" and length == _UNKNOWN:
                if wide is None:
                    raise UnreadableAudio("the RF64 file has no ds64 chunk")
                length = wide
            data = (body, length)
            if length == _UNKNOWN:
                break
        position = body + length + (length & 1)
    else:
        raise UnreadableAudio(f"the WAV file has more than {_MAX_CHUNKS} chunks")
    if head[:4] == b"RF64" and wide is None:
        raise UnreadableAudio("the RF64 file has no ds64 chunk")
    if fmt is None or data is None:
        raise UnreadableAudio(f"the WAV file has no {'data' if fmt else 'fmt'} chunk")
    return _check_sizes(order, fmt, data, size, leftover)


def _check_sizes(
    order: str, fmt: bytes, data: tuple[int, int], size: int, leftover: int
) -> WavLayout:
    """Compare the sizes that the header declares with each other and with the file's."""
    tag, channels, rate, _, block, bits = struct.unpack(order + "HHIIHH", fmt[:16])
    if tag == _EXTENSIBLE and len(fmt) >= 26:
        tag = struct.unpack(order + "H", fmt[24:26])[0]
    if channels and tag in _SAMPLE_CODES and block != channels * ((bits + 7) // 8):
        raise UnreadableAudio(
            f"the WAV header contradicts itself: {channels} channels of {bits} bits in blocks of"
            f" {block} bytes"
        )
    start, declared = data
    available = size - start
    warnings: list[str] = []
    truncated = False
    if declared == _UNKNOWN:
        warnings.append("the header does not say how long the audio is: read to the end")
        declared = available
    elif declared > available:
        warnings.append(f"cut off: {declared} bytes of audio declared, {max(available, 0)} exist")
        truncated = True
    elif leftover > 8:
        warnings.append(f"{leftover} bytes after the declared audio are not used")
    usable = max(0, min(declared, available))
    if tag in _SAMPLE_CODES and block:
        usable -= usable % block
    return WavLayout(order, fmt, start, usable, channels, rate, tuple(warnings), truncated)


class Spliced(io.RawIOBase):
    """A read-only file of ``head`` followed by a span of another file, which is not copied."""

    def __init__(self, head: bytes, file: BinaryIO, start: int, length: int) -> None:
        self._head, self._file, self._start, self._length = head, file, start, length
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        wanted = max(0, min(len(view), self._end - self._position))
        copied = 0
        if self._position < len(self._head):
            part = self._head[self._position : self._position + wanted]
            view[: len(part)] = part
            copied = len(part)
        if copied < wanted:
            self._file.seek(self._start + self._position + copied - len(self._head))
            rest = self._file.read(wanted - copied)
            view[copied : copied + len(rest)] = rest
            copied += len(rest)
        self._position += copied
        return copied

    @property
    def _end(self) -> int:
        return len(self._head) + self._length
