"""Load any audio file as float32 mono samples in [-1, 1] at a given rate, or raise one clear error.

NumPy reads plain WAV, libsndfile decodes everything else (it is in the soundfile wheel; torchaudio
would bring torch and ffmpeg), soxr resamples. These libraries accept rates of 1 Hz, 65,535
channels, NaN samples and headers that declare years of audio. So limits are checked before memory
is spent, and values before they are used.

Shapes: S samples; float32 throughout.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import stat
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from voxedge.audio import wav
from voxedge.audio.decoder import FrameSource, read_mono
from voxedge.audio.formats import SUFFIXES as SUFFIXES  # for the walks of folders
from voxedge.audio.formats import readability as readability
from voxedge.audio.limits import Limits, Samples, check_header, check_length, check_values
from voxedge.audio.pcm import PcmSource
from voxedge.audio.resample import Resampler
from voxedge.errors import (
    AudioError,
    AudioNotFound,
    BadSamples,
    NotAFile,
    OutsideLimits,
    PermissionDenied,
    TooShort,
    TruncatedAudio,
    UnreadableAudio,
)

Source: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO

_EMPTY_ID3 = b"ID3\x03\0\0\0\0\0\x0a" + bytes(10)
_MAX_ID3 = 16  # tags in front of a file
_OTHER_CONTAINERS = {b"ftyp": "MP4/M4A", b"\x1aE\xdf\xa3": "WebM/Matroska"}

#: How the formats of SUFFIXES begin, WAV and MP3 aside. libsndfile has two dozen more, whose old
#: readers accept almost any bytes; one of them (SDS) prints to stdout.
_KNOWN = re.compile(
    rb"fLaC|OggS|FORM....AIF[FC]|[.]snd|dns[.]|caff....desc|Creative Voi|NIST_1A"
    rb"|riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb",  # W64
    re.DOTALL,
)


@dataclass(frozen=True)
class Audio:
    """A decoded clip."""

    samples: Samples  # [S], mono, at the requested rate
    seconds: float  # as decoded
    source_rate: int  # Hz, of the file
    channels: int  # of the file
    warnings: tuple[str, ...] = ()


def load_audio(source: Source, sample_rate: int = 16_000) -> Samples:
    """Decode a file (or its bytes) to float32 mono samples [S] at ``sample_rate`` Hz.

    Raises:
        AudioError: one of its kinds, for anything that is not usable audio.
    """
    return decode(source, sample_rate).samples


def decode(
    source: Source, sample_rate: int, limits: Limits | None = None, strict: bool = False
) -> Audio:
    """Decode, downmix (mean of the channels) and resample a clip.

    Args:
        source: a path, the bytes of a file, or a seekable binary file.
        sample_rate: of the result, Hz.
        limits: which clips are accepted.
        strict: refuse cut-off and over-long files instead of warning.

    Raises:
        AudioError: one of its kinds, for anything that is not usable audio.
    """
    try:
        return _decode(source, sample_rate, limits or Limits(), strict)
    except OSError as error:  # while reading: a failing disk, a lost network share
        raise UnreadableAudio(f"cannot be read: {error.strerror or error}") from None


def from_array(
    array: npt.ArrayLike, rate: int, sample_rate: int, limits: Limits | None = None
) -> Audio:
    """Check samples that are already in memory, downmix and resample them.

    Args:
        array: [S] or [S, channels]; float in [-1, 1], or an integer type (scaled by its range).
        rate: of ``array``, Hz.
        sample_rate: of the result, Hz.
        limits: which clips are accepted.

    Raises:
        AudioError: one of its kinds, for anything that is not usable audio.
    """
    limits = limits or Limits()
    values = np.asarray(array)
    if values.ndim not in (1, 2) or values.dtype.kind not in "fiu" or values.dtype == np.int64:
        raise BadSamples(
            f"samples must be real numbers of shape [S] or [S, channels], not {values.dtype}"
            f" {list(values.shape)}"
        )
    channels = 1 if values.ndim == 1 else values.shape[1]
    check_header(rate, channels, limits)
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite: refused below
        if values.dtype.kind == "u":
            half = float(1 << (8 * values.dtype.itemsize - 1))
            values = (values.astype(np.float32) - half) / half
        elif values.dtype.kind == "i":
            values = values.astype(np.float32) / float(1 << (8 * values.dtype.itemsize - 1))
        values = values.astype(np.float32)
    check_values(values)
    mono = values if values.ndim == 1 else values.mean(axis=1)
    check_length(len(mono) / rate, limits)
    mono = Resampler(rate, sample_rate)(mono, last=True)
    check_values(mono)
    return Audio(np.ascontiguousarray(mono), len(values) / rate, rate, channels)


def _decode(source: Source, sample_rate: int, limits: Limits, strict: bool) -> Audio:
    with _open_file(source) as file:
        size = file.seek(0, io.SEEK_END)
        if size > limits.max_bytes:
            raise OutsideLimits(f"{size} bytes; at most {limits.max_bytes} are read")
        if size == 0:
            raise UnreadableAudio("the file is empty")
        warnings: list[str] = []
        is_path = isinstance(source, str | os.PathLike)
        with _frame_source(file, size, is_path, limits, strict, warnings) as frames:
            rate, channels = frames.rate, frames.channels
            samples, seconds = read_mono(frames, sample_rate, limits, strict, warnings)
    return Audio(samples, seconds, rate, channels, tuple(warnings))


def _open_file(source: Source) -> contextlib.AbstractContextManager[BinaryIO]:
    """Open a source as a seekable binary file, without ever blocking on a FIFO or a device.

    A file object of the caller stays open.
    """
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if not isinstance(source, str | os.PathLike):
        if not source.seekable():
            raise UnreadableAudio("the file cannot be rewound", "pass its bytes")
        return contextlib.nullcontext(source)
    try:
        handle = os.open(source, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        raise _cannot_open(error) from None
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise NotAFile(f"a {_file_type(mode)}, not an audio file")
    return os.fdopen(handle, "rb")


def _frame_source(
    file: BinaryIO, size: int, is_path: bool, limits: Limits, strict: bool, warnings: list[str]
) -> contextlib.AbstractContextManager[FrameSource]:
    """Recognise the format by its first bytes, and open it with the reader of that format."""
    start = _end_of_tags(file)
    body: Any = wav.Spliced(b"", file, start, size - start) if start else file
    body.seek(0)
    head = body.read(12).ljust(12, b"\0")
    if head[:4] in wav.MAGICS:
        return _wav_source(body, size - start, limits, strict, warnings)
    if _is_mp3(head):
        # Before it looks for a bare MP3 stream, libsndfile would take any "._" file of the current
        # folder for a resource fork (its issue 1112). An empty tag in front prevents that.
        return _libsndfile_source(wav.Spliced(_EMPTY_ID3, file, start, size - start))
    if name := _OTHER_CONTAINERS.get(head[4:8]) or _OTHER_CONTAINERS.get(head[:4]):
        raise UnreadableAudio(
            f"{name} cannot be decoded", "convert it first: ffmpeg -i CLIP clip.wav"
        )
    if not _KNOWN.match(head):
        raise UnreadableAudio("not an audio file of a supported format")
    if is_path and body is file:  # libsndfile reads the descriptor: no Python call per block
        os.lseek(file.fileno(), 0, os.SEEK_SET)  # file.seek() only moves the buffer
        return _libsndfile_source(file.fileno())
    body.seek(0)
    return _libsndfile_source(body)


def _wav_source(
    file: Any,  # noqa: ANN401 - a binary file, or a part of one
    size: int,
    limits: Limits,
    strict: bool,
    warnings: list[str],
) -> contextlib.AbstractContextManager[FrameSource]:
    layout = wav.parse(file, size)
    check_header(layout.rate, layout.channels, limits)
    if layout.truncated and strict:
        raise TruncatedAudio(layout.warnings[0])
    if layout.data_bytes == 0:
        raise TooShort("the file holds no samples")
    warnings += layout.warnings
    return PcmSource(file, layout) if layout.dtype else _libsndfile_source(layout.rebuilt(file))


def _libsndfile_source(
    target: Any,  # noqa: ANN401 - a descriptor, or a binary file
) -> contextlib.AbstractContextManager[FrameSource]:
    from voxedge.audio import libsndfile

    return libsndfile.open_source(target)


def _end_of_tags(file: BinaryIO) -> int:
    """Offset behind the ID3v2 tags in front of a file; 0 without any."""
    end = 0
    for _ in range(_MAX_ID3):
        file.seek(end)
        head = file.read(10)
        if head[:3] != b"ID3" or len(head) < 10:
            return end
        size = 0
        for byte in head[6:]:
            size = size << 7 | byte & 0x7F
        end += 10 + size + (10 if head[5] & 0x10 else 0)  # a footer repeats the header
    raise UnreadableAudio(f"more than {_MAX_ID3} ID3 tags")


def _is_mp3(head: bytes) -> bool:
    """Whether libsndfile would see an MPEG frame: sync, valid version, layer, bitrate and rate."""
    sync, version, layer = head[0] == 0xFF and head[1] >= 0xE0, head[1] & 0x18, head[1] & 0x06
    return sync and version != 8 and layer != 0 and head[2] < 0xF0 and head[2] & 0x0C != 0x0C


def _cannot_open(error: OSError | ValueError) -> AudioError:
    if isinstance(error, FileNotFoundError | NotADirectoryError | ValueError):
        return AudioNotFound("no such file")
    if isinstance(error, PermissionError):
        return PermissionDenied("not allowed to read it")
    if error.errno == errno.ENXIO:
        return NotAFile("a socket or device, not a regular file")
    return UnreadableAudio(f"cannot be opened: {error.strerror}")


def _file_type(mode: int) -> str:
    names = {
        stat.S_IFDIR: "directory",
        stat.S_IFIFO: "FIFO",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
        stat.S_IFSOCK: "socket",
    }
    return names.get(stat.S_IFMT(mode), "special file")
