"""Folders of Kaldi: ``wav.scp`` (recording, file), ``utt2spk`` and perhaps ``segments``.

The format: https://kaldi-asr.org/doc/data_prep.html. An entry of ``wav.scp`` may be a command whose
output is the audio; such a folder is refused, since reading a corpus must not run what it says.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

from voxedge.data.clips import Clip, Manifest, refuse_lookalikes
from voxedge.errors import AudioNotFound, CorpusError, TooShort, UnreadableAudio
from voxedge.names import speaker_name

_FILES, _SPEAKERS, _SEGMENTS = "wav.scp", "utt2spk", "segments"


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a recording, which is read without what lies before it."""

    file: Path
    start: float  # seconds
    end: float  # seconds; -1: the end of the recording

    def read_bytes(self) -> bytes:
        """The part as a WAV file: 16-bit samples as they are, others as 32-bit float.

        Raises:
            AudioError: the recording cannot be read, or ends before the part begins.
        """
        import soundfile

        if not self.file.is_file():
            raise AudioNotFound("no such file")
        try:
            with soundfile.SoundFile(self.file) as recording:
                rate = recording.samplerate
                first, last = (round(seconds * rate) for seconds in (self.start, self.end))
                last = recording.frames if self.end < 0 else min(last, recording.frames)
                if first >= last:
                    raise TooShort("the recording ends before this segment begins")
                recording.seek(first)
                is_16_bit = recording.subtype == "PCM_16"
                samples = recording.read(last - first, "int16" if is_16_bit else "float32")
        except soundfile.LibsndfileError as error:
            raise UnreadableAudio(f"not audio that libsndfile decodes: {error}") from None
        wav = io.BytesIO()
        soundfile.write(wav, samples, rate, "PCM_16" if is_16_bit else "FLOAT", format="WAV")
        return wav.getvalue()


def is_kaldi(folder: Path) -> bool:
    """Whether a folder is one of Kaldi."""
    return (folder / _FILES).is_file() and (folder / _SPEAKERS).is_file()


def read_kaldi(folder: Path) -> Manifest:
    """Read a folder of Kaldi.

    Names of clips are those of utterances. Segments of one recording are one session. Relative
    paths are looked for in the folder, and else in the current one, as Kaldi does.

    Raises:
        CorpusError: a file is malformed, they contradict each other, or ``wav.scp`` has a command.
    """
    files = _files(folder)
    utterances: dict[str, tuple[Path | Segment, str]] = {name: (f, "") for name, f in files.items()}
    if (folder / _SEGMENTS).is_file():
        utterances = _segments(folder / _SEGMENTS, files)
    clips = []
    for name, speaker in sorted(_pairs(folder / _SPEAKERS).items()):
        if name not in utterances:
            raise CorpusError(f"{folder / _SPEAKERS}: there is no audio of the utterance {name}")
        source, session = utterances.pop(name)
        clips.append(Clip(source, name, speaker_name(speaker), session))
    if utterances:
        raise CorpusError(f"{folder / _SPEAKERS} does not say whose {min(utterances)} is")
    if not clips:
        raise CorpusError(f"{folder / _SPEAKERS} lists no utterances")
    refuse_lookalikes(folder, {clip.speaker for clip in clips}, f"correct {_SPEAKERS}")
    return Manifest(folder, tuple(clips))


def _files(folder: Path) -> dict[str, Path]:
    """The recordings of ``wav.scp``."""
    entries = _pairs(folder / _FILES)
    for name, entry in entries.items():
        if entry.endswith("|"):
            raise CorpusError(
                f"{folder / _FILES}: {name} is a command, and voxedge runs none: {entry[:80]}",
                "write its audio to files, with Kaldi's wav-copy or the command itself",
            )
        if re.search(r":\d+$", entry):
            raise CorpusError(
                f"{folder / _FILES}: {name} is within an archive, which is not read: {entry[:70]}",
                "write its audio to files, with Kaldi's wav-copy",
            )
    first = next(iter(entries.values()), "")
    here = folder if (folder / first).exists() else Path()
    return {name: here / entry for name, entry in entries.items()}


def _segments(path: Path, files: dict[str, Path]) -> dict[str, tuple[Path | Segment, str]]:
    """The utterances of ``segments``, each with its recording's name."""
    found: dict[str, tuple[Path | Segment, str]] = {}
    for name, rest in _pairs(path).items():
        try:
            recording, start, end = rest.split()
            part = Segment(files[recording], float(start), float(end))
        except (ValueError, KeyError):
            raise CorpusError(
                f"{path}: {name} is {rest[:80]!r}, not a recording of {_FILES} and two times"
            ) from None
        if not (0 <= part.start < part.end < math.inf or (part.end == -1 and part.start >= 0)):
            raise CorpusError(f"{path}: {name} ends before it begins: {rest[:80]}")
        found[name] = (part, recording)
    return found


def _pairs(path: Path) -> dict[str, str]:
    """The lines of a file: a name, and what follows it."""
    found: dict[str, str] = {}
    try:
        text = path.read_text("utf-8", "surrogateescape")
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror or error}") from None
    for number, line in enumerate(text.split("\n"), 1):
        name, *rest = line.split(maxsplit=1) or [""]
        if not name:
            continue
        if not rest or name in found:
            what = "is listed twice" if name in found else "has nothing behind it"
            raise CorpusError(f"{path}, line {number}: {name} {what}")
        found[name] = rest[0].strip()
    return found
