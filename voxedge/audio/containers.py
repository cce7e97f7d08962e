"""Open a file with the reader of its format, which its first bytes decide, whatever its name.

NumPy reads plain WAV (``pcm``), libsndfile what it decodes (``libsndfile``), and PyAV the rest
where the extra ``av`` is installed (``pyav``).
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, TypeAlias

from voxedge.audio import formats, frames, wav
from voxedge.audio.decoder import FrameSource
from voxedge.audio.limits import Limits, check_header
from voxedge.audio.open_sizes import WARNING as OPEN_SIZE
from voxedge.audio.open_sizes import true_header
from voxedge.audio.pcm import PcmSource
from voxedge.audio.raw import EXAMPLE, RawFormat
from voxedge.audio.signatures import (
    HEAD,
    Format,
    another_file,
    find_another,
    find_another_mp3,
    recognise,
)
from voxedge.audio.wav import Spliced, WavLayout
from voxedge.errors import TooShort, TruncatedAudio, UnreadableAudio
from voxedge.install import install_command

OpenSource: TypeAlias = contextlib.AbstractContextManager[FrameSource]

_EMPTY_ID3 = b"ID3\x03\0\0\0\0\0\x0a" + bytes(10)
_MAX_ID3 = 16  # tags in front of a file
_BARE_FRAMES = (
    ("AAC", frames.adts, "aac"),
    ("AC-3", frames.ac3, "ac3"),
    ("E-AC-3", frames.eac3, "eac3"),
)
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e]*")


@dataclass(frozen=True)
class Rules:
    """How the files of a call are read."""

    limits: Limits
    strict: bool  # refuse cut-off and over-long files instead of warning
    raw: RawFormat | None  # of files without a header


@dataclass
class AudioFile:
    """A file, or the part of one that holds audio, that is being opened."""

    file: Any  # binary, seekable
    size: int  # in bytes
    name: str  # its path; "" for bytes and file objects
    rules: Rules
    warnings: list[str]  # gets what is wrong with a file that can be used all the same

    def part(self, start: int, size: int) -> AudioFile:
        """So many bytes of the file."""
        return replace(self, file=Spliced(b"", self.file, start, size), size=size)


def open_source(file: AudioFile) -> OpenSource:
    """Recognise the format of a file, and open it with the reader of that format.

    Raises:
        AudioError: one of its kinds.
    """
    start = _end_of_tags(file.file)
    body = file.part(start, file.size - start) if start else file
    body.file.seek(0)
    head = body.file.read(HEAD).ljust(HEAD, b"\0")
    known = recognise(head)
    if file.rules.raw:
        if known or (head[:4] in wav.MAGICS and head[8:12] == b"WAVE"):
            name = known.name if known else "WAV"
            raise UnreadableAudio(f"a file with a header, {name}, not raw samples")
        return _raw_source(file, file.rules.raw)
    if known:
        return _container_source(body, known)
    if head[:4] in wav.MAGICS:
        return _wav_source(body)
    return _stream_source(body)


def _raw_source(file: AudioFile, raw: RawFormat) -> OpenSource:
    check_header(raw.rate, raw.channels, file.rules.limits)
    return _samples_source(file, raw.layout(file.size))


def _wav_source(file: AudioFile) -> OpenSource:
    layout = wav.parse(file.file, file.size)
    check_header(layout.rate, layout.channels, file.rules.limits)
    if layout.truncated and file.rules.strict:
        raise TruncatedAudio(layout.warnings[0])
    file.warnings += layout.warnings
    return _samples_source(file, layout)


def _samples_source(file: AudioFile, layout: WavLayout) -> OpenSource:
    if layout.data_bytes == 0:
        raise TooShort("the file holds no samples")
    if layout.dtype:
        return PcmSource(file.file, layout)
    rebuilt = layout.rebuilt(file.file)
    try:
        return _libsndfile_source(rebuilt)
    except UnreadableAudio as error:
        return _pyav_source(replace(file, file=rebuilt), "WAV", "wav", error)


def _container_source(file: AudioFile, known: Format) -> OpenSource:
    another = find_another(known, file.file, file.size)
    if another is not None:
        file.warnings.append(another_file(known.name, file.size - another))
        file = file.part(0, another)
    if head := true_header(file.file, file.size, known.name):
        file.warnings.append(OPEN_SIZE)
        file = replace(file, file=Spliced(head, file.file, len(head), file.size - len(head)))
    if not known.libsndfile:
        return _pyav_source(file, known.name, known.demuxer)
    try:
        if file.name and not isinstance(file.file, Spliced):
            # libsndfile reads the descriptor itself: no Python call for each block.
            os.lseek(file.file.fileno(), 0, os.SEEK_SET)  # file.seek() only moves the buffer
            return _libsndfile_source(file.file.fileno())
        file.file.seek(0)
        return _libsndfile_source(file.file)
    except UnreadableAudio as error:
        if not known.demuxer:
            raise
        return _pyav_source(file, known.name, known.demuxer, error)


def _stream_source(file: AudioFile) -> OpenSource:
    """Open a stream of bare frames: MP3, AAC, or AC-3."""
    file.file.seek(0)
    start = file.file.read(frames.SEARCHED)
    if frames.begins_with_frames(start, frames.mpeg):
        another = find_another_mp3(file.file, file.size)
        if another is not None:
            file.warnings.append(another_file("MP3", file.size - another))
        # Before it looks for a bare MP3 stream, libsndfile would take any "._" file of the current
        # folder for a resource fork (its issue 1112). An empty tag in front prevents that.
        size = file.size if another is None else another
        return _libsndfile_source(Spliced(_EMPTY_ID3, file.file, 0, size))
    for name, parse, demuxer in _BARE_FRAMES:
        if frames.begins_with_frames(start, parse):
            return _pyav_source(file, name, demuxer)
    raise _not_recognised(file, start)


def _libsndfile_source(target: Any) -> OpenSource:  # noqa: ANN401 - a descriptor or binary file
    from voxedge.audio import libsndfile

    return libsndfile.open_source(target)


def _pyav_source(
    file: AudioFile, name: str, demuxer: str, refused: UnreadableAudio | None = None
) -> OpenSource:
    """Open a container with PyAV; ``refused`` is why libsndfile did not."""
    if not formats.has_av():
        reason = f"{name} is decoded by PyAV, which is not installed"
        raise UnreadableAudio(
            f"{refused.message}; {reason}" if refused else reason,
            f"{install_command('av')}; or convert it: {_ffmpeg(file)}",
        )
    try:
        from voxedge.audio import pyav
    except ImportError as error:
        raise UnreadableAudio(f"PyAV does not load: {error}", _ffmpeg(file)) from None
    try:
        source = pyav.open_source(file.file, file.size, demuxer)
    except UnreadableAudio as error:
        hint = error.hint and f"{error.hint}: {_ffmpeg(file)}"
        raise refused or UnreadableAudio(f"{name}: {error.message}", hint) from None
    if source.tracks > 1:
        file.warnings.append(f"{source.tracks} audio tracks: only one is used")
    return source


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


def _not_recognised(file: AudioFile, start: bytes) -> UnreadableAudio:
    """The error about a format that no reader is for, or about raw samples."""
    hint = f"raw samples: --raw {EXAMPLE} says how to read them; other audio: {_ffmpeg(file)}"
    is_text = _TEXT.fullmatch(start) is not None
    return UnreadableAudio("not an audio file of a supported format", "" if is_text else hint)


def _ffmpeg(file: AudioFile) -> str:
    """The command that converts a file to WAV."""
    import shlex

    if not file.name:
        return "ffmpeg -i CLIP clip.wav"
    stem, suffix = os.path.splitext(file.name)  # noqa: PTH122 - names may hold any bytes
    converted = f"{stem}-converted.wav" if suffix.lower() == ".wav" else f"{stem}.wav"
    return shlex.join(["ffmpeg", "-i", file.name, converted])
