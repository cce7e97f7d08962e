"""Parse a RIFF/WAVE header, and compare what it declares with what the file really holds.

libsndfile believes headers, hides short reads, and has hung on crafted files. So the chunks are
walked here, and libsndfile gets a rebuilt file: a new 12-byte RIFF head, the ``fmt`` chunk as it
was, and the bytes of ``data`` that exist. Layout: Microsoft, "Multimedia Programming Interface and
Data Specifications 1.0" (RIFF, RIFX); EBU Tech 3306 (RF64); ITU-R BS.2088 (BW64).
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from voxedge.audio import open_sizes
from voxedge.audio.signatures import another_file, find
from voxedge.errors import UnreadableAudio

MAGICS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_WIDE = (b"RF64", b"BW64")  # with 64-bit sizes in a ds64 chunk
_MAX_CHUNKS = 65_536
_UNKNOWN = 0xFFFFFFFF  # a data size that is in the ds64 chunk, or was not known
_WAV_START = re.compile(rb"(?:RIFF|RIFX|RF64|BW64)....WAVE", re.DOTALL)
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
    wide: int | None = None  # the data size in the ds64 chunk
    fmt: bytes | None = None
    data: tuple[int, int] | None = None  # start, declared size
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > size:
            break
        file.seek(position)
        name, length = struct.unpack(order + "4sI", file.read(8))
        body = position + 8
        if data and not _is_chunk(name, body + length, size):
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
            if head[:4] in _WIDE and length == _UNKNOWN:
                length = 0 if wide is None else wide
            data = (body, length)
        position = body + length + (length & 1)
    else:
        raise UnreadableAudio(f"the WAV file has more than {_MAX_CHUNKS} chunks")
    if head[:4] in _WIDE and wide is None:
        raise UnreadableAudio(f"the {head[:4].decode()} file has no ds64 chunk")
    if fmt is None or data is None:
        raise UnreadableAudio(f"the WAV file has no {'data' if fmt else 'fmt'} chunk")
    return _check_sizes(file, order, fmt, data, position, size)


def _is_chunk(name: bytes, end: int, size: int) -> bool:
    """Whether what follows the data chunk is another chunk of this file."""
    return name not in MAGICS and all(32 <= byte < 127 for byte in name) and end <= size


def _check_sizes(
    file: BinaryIO, order: str, fmt: bytes, data: tuple[int, int], end: int, size: int
) -> WavLayout:
    """Compare the sizes that the header declares with each other and with the file's.

    Args:
        file: the WAV file.
        order: of its bytes.
        fmt: body of its fmt chunk.
        data: offset of the samples, and their declared size.
        end: offset behind the last chunk.
        size: of the file.

    Raises:
        UnreadableAudio: the fmt chunk contradicts itself.
    """
    tag, channels, rate, _, block, bits = struct.unpack(order + "HHIIHH", fmt[:16])
    if tag == _EXTENSIBLE and len(fmt) >= 26:
        tag = struct.unpack(order + "H", fmt[24:26])[0]
    if channels and tag in _SAMPLE_CODES and block != channels * ((bits + 7) // 8):
        raise UnreadableAudio(
            f"the WAV header contradicts itself: {channels} channels of {bits} bits in blocks of"
            f" {block} bytes"
        )
    start, declared = data
    available = max(0, size - start)
    warnings: list[str] = []
    if _is_placeholder(declared, available, chunks_follow=end > start):
        warnings.append(open_sizes.WARNING)
        another = find(_WAV_START, file, start, size)
        declared = (size if another is None else another) - start
    else:
        another = find(_WAV_START, file, end - 1, min(end + 1, size))  # with or without padding
        if declared > available:
            warnings.append(f"cut off: {declared} bytes of audio declared, {available} exist")
        elif another is None and size - end > 8:
            warnings.append(f"{size - end} bytes after the declared audio are not used")
    if another is not None:
        warnings.append(another_file("WAV", size - another))
    usable = min(declared, available)
    if tag in _SAMPLE_CODES and block:
        usable -= usable % block
    truncated = declared > available
    return WavLayout(order, fmt, start, usable, channels, rate, tuple(warnings), truncated)


def _is_placeholder(declared: int, available: int, chunks_follow: bool) -> bool:
    """Whether the size of the data chunk was written before the length was known."""
    if declared == 0:
        return available > 0 and not chunks_follow
    return declared == _UNKNOWN or open_sizes.is_too_large(declared, available)


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
