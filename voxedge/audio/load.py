"""Load any audio file as float32 mono samples in [-1, 1] at a given rate, or raise one clear error.

NumPy reads plain WAV, libsndfile decodes most other formats (it is in the soundfile wheel;
torchaudio would bring torch and ffmpeg), PyAV the rest, soxr resamples. These libraries accept
rates of 1 Hz, 65,535 channels, NaN samples and headers that declare years of audio. So limits are
checked before memory is spent, and values before they are used.

Shapes: S samples; float32 throughout.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol, TypeAlias, runtime_checkable

from voxedge.audio.containers import AudioFile, Rules, open_source
from voxedge.audio.decoder import MonoBlocks
from voxedge.audio.limits import Limits, Samples
from voxedge.audio.raw import RawFormat
from voxedge.errors import (
    AudioError,
    AudioNotFound,
    NotAFile,
    OutsideLimits,
    PermissionDenied,
    UnreadableAudio,
)


@runtime_checkable
class StoredAudio(Protocol):
    """An audio file that lies within another file or behind a URL: read whenever it is decoded."""

    def read_bytes(self) -> bytes:
        """The bytes of the audio file.

        Raises:
            AudioError: they cannot be had.
        """


Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | StoredAudio


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
    source: Source,
    sample_rate: int,
    limits: Limits | None = None,
    strict: bool = False,
    raw: RawFormat | None = None,
) -> Audio:
    """Decode, downmix and resample a clip.

    Args:
        source: a path, the bytes of a file, a seekable binary file, or stored audio.
        sample_rate: of the result, Hz.
        limits: which clips are accepted.
        strict: refuse cut-off and over-long files instead of warning.
        raw: how to read files that are samples without a header.

    Raises:
        AudioError: one of its kinds, for anything that is not usable audio.
    """
    with stream(source, sample_rate, limits, strict, raw) as blocks:
        samples = blocks.read()
        return Audio(samples, blocks.seconds, blocks.rate, blocks.channels, tuple(blocks.warnings))


@contextlib.contextmanager
def stream(
    source: Source,
    sample_rate: int,
    limits: Limits | None = None,
    strict: bool = False,
    raw: RawFormat | None = None,
) -> Iterator[MonoBlocks]:
    """Open a clip to decode it block by block, in constant memory: see ``decode``.

    Raises:
        AudioError: one of its kinds; also while the blocks are read.
    """
    rules = Rules(limits or Limits(), strict, raw)
    warnings: list[str] = []
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(_audio_file(source, rules, warnings))
            frames = stack.enter_context(open_source(file))
            blocks = MonoBlocks(frames, sample_rate, rules.limits, strict, warnings)
        except OSError as error:  # a failing disk, a lost network share
            raise UnreadableAudio(f"cannot be read: {error.strerror or error}") from None
        yield blocks


@contextlib.contextmanager
def _audio_file(source: Source, rules: Rules, warnings: list[str]) -> Iterator[AudioFile]:
    """Open a source, and refuse it if it is empty or too large."""
    is_path = isinstance(source, str | os.PathLike)
    name = path_text(source) if is_path else ""
    with _open_file(source) as file:
        size = file.seek(0, io.SEEK_END)
        if size > rules.limits.max_bytes:
            raise OutsideLimits(f"{size} bytes; at most {rules.limits.max_bytes} are read")
        if size == 0:
            raise UnreadableAudio("the file is empty")
        yield AudioFile(file, size, name, rules, warnings)


def path_text(path: object) -> str:
    """A path as text; undecodable bytes of its name become surrogates.

    Raises:
        UnreadableAudio: it is not a path.
    """
    try:
        return os.fsdecode(path)  # type: ignore[arg-type]
    except TypeError:
        raise UnreadableAudio(f"{type(path).__name__} is not a path") from None


def _open_file(source: Source) -> contextlib.AbstractContextManager[BinaryIO]:
    """Open a source as a seekable binary file, without ever blocking on a FIFO or a device.

    A file object of the caller stays open.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source)
    if not isinstance(source, str | os.PathLike):
        if isinstance(source, StoredAudio):
            return io.BytesIO(source.read_bytes())
        _check_file(source)
        return contextlib.nullcontext(source)
    try:
        handle = os.open(source, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        raise _cannot_open(error) from None
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        hint = _through_stdin(path_text(source)) if stat.S_ISFIFO(mode) else ""
        raise NotAFile(f"a {_file_type(mode)}, not an audio file", hint)
    return os.fdopen(handle, "rb")


def _check_file(source: object) -> None:
    """Refuse what is not a seekable binary file."""
    if not hasattr(source, "read"):
        raise UnreadableAudio(
            f"{type(source).__name__} is no source: a path, the bytes of a file, or a binary file"
        )
    try:
        rewindable, nothing = source.seekable(), source.read(0)  # type: ignore[attr-defined]
    except (AttributeError, TypeError, ValueError) as error:  # ValueError: it is closed
        raise UnreadableAudio(f"the file cannot be read: {error}") from None
    if not isinstance(nothing, bytes):
        raise UnreadableAudio("the file gives text, not bytes", "open it in mode 'rb'")
    if not rewindable:
        raise UnreadableAudio("the file cannot be rewound", "pass its bytes")


def _through_stdin(fifo: str) -> str:
    """How to identify what a FIFO gives; the shell's own, such as ``/dev/fd/63``, are gone then."""
    import shlex

    if fifo.startswith(("/dev/", "/proc/")):
        return "pipe it into voxedge: COMMAND | voxedge identify -"
    return f"read it through stdin: voxedge identify - < {shlex.quote(fifo)}"


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
