"""The clips of a corpus and their speakers, from a folder of folders or a CSV file.

In ``DATA/<speaker>/**/<clip>`` each folder is a speaker and the folders below it are sessions (one
recording occasion each). A CSV has the columns ``path,speaker[,session][,split]``, with paths
relative to the file. Whatever may hold a speaker's clips but gives none is a ``Problem``: nobody
should be missing from a model without a word.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

from voxedge.audio.folders import Found, ending, find
from voxedge.data.table import read_table
from voxedge.errors import CorpusError
from voxedge.names import is_blank, lookalikes, speaker_name

Side: TypeAlias = Literal["train", "validation", "test"]
SIDES: tuple[Side, ...] = get_args(Side)

_NEEDED = ("path", "speaker")
_KNOWN = ("session", "split")
_SHOWN = 5  # kinds of files, or groups of names, in a message
_LAYOUT = "the expected layout is data/<speaker>/<clip>.wav"
_EMPTY = "an empty folder (copy its clips again, or delete it)"
_AS_UTF8 = "save the file as CSV (UTF-8)"


@dataclass(frozen=True)
class Clip:
    """An audio file and its speaker."""

    path: Path
    name: str  # relative to the corpus, with forward slashes
    speaker: str
    session: str = ""
    split: Side | None = None  # if the manifest prescribes one


@dataclass(frozen=True)
class Problem:
    """Why a clip is left out of training; or a folder, of which ``clip`` holds path and name."""

    clip: Clip
    code: str
    message: str


@dataclass(frozen=True)
class Manifest:
    """All clips of a corpus, sorted by name."""

    root: Path
    clips: tuple[Clip, ...]
    ignored: tuple[str, ...] = ()  # files without the suffix of an audio format
    problems: tuple[Problem, ...] = ()  # files and folders that give no clips
    warnings: tuple[tuple[str, str], ...] = ()  # (name of a folder, what is odd about it)
    is_checked: bool = False  # a run's: duplicates were left out when it began

    @property
    def speakers(self) -> list[str]:
        """The speakers, sorted."""
        return sorted({clip.speaker for clip in self.clips})


def read_manifest(source: Path) -> Manifest:
    """Read a corpus folder or a CSV manifest.

    Raises:
        CorpusError: it is missing, malformed, or has no clips; or names of speakers look alike.
    """
    if os.path.isdir(source):  # noqa: PTH112 - unlike Path's, no error where it may not be seen
        return _Scan(source).manifest()
    if os.path.isfile(source):  # noqa: PTH113
        return _read_csv(source)
    raise CorpusError(
        f"there is no corpus at {source}",
        "expected a folder with one subfolder of clips for each speaker",
    )


def read_split(path: Path, root: Path) -> Manifest:
    """Read the table of clips that a run wrote: labels are as they are in its network.

    Args:
        path: the table.
        root: the folder that its paths are relative to.

    Raises:
        CorpusError: it is malformed, or has no clips.
    """
    clips = tuple(
        Clip(root / name, name, clip.speaker, clip.session, clip.split)
        for name, clip in sorted(_clips_of_table(path).items())
    )
    return Manifest(root, clips, is_checked=True)


class _Scan:
    """What a folder of speakers holds, sorted into clips and what gives none."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clips: list[Clip] = []
        self.ignored: list[str] = []
        self.problems: list[Problem] = []
        self.warnings: list[tuple[str, str]] = []
        self._loose = 0  # clips that lie in no speaker's folder
        self._others: defaultdict[str, Counter[str]] = defaultdict(Counter)  # folder -> endings

    def manifest(self) -> Manifest:
        root = os.fspath(self.root)
        start = len(os.path.join(root, ""))  # noqa: PTH118
        for found in find(root):
            if found.path == root:
                raise CorpusError(f"{root}: {found.error or 'an empty folder'}", _LAYOUT)
            self._add(found, found.path[start:].replace(os.sep, "/"))
        self._name_folders_without_audio()
        if not self.clips:
            raise self._no_clips()
        self._check_names()
        self.clips.sort(key=lambda clip: clip.name)
        self.problems.sort(key=lambda problem: problem.clip.name)
        return Manifest(
            self.root,
            tuple(self.clips),
            tuple(self.ignored),
            tuple(self.problems),
            tuple(self.warnings),
        )

    def _add(self, found: Found, name: str) -> None:
        folder, *inner = name.split("/")
        is_loose = not inner and found.kind in ("clip", "needs_av", "other")
        speaker = "" if is_loose else speaker_name(folder)
        clip = Clip(Path(found.path), name, speaker, "/".join(inner[:-1]))
        if not is_loose:
            self._others[folder].update([ending(name)] if found.kind == "other" else [])
        if found.kind == "other":
            self.ignored.append(name)
        elif is_loose:
            self._loose += 1
            self.problems.append(Problem(clip, "no_speaker", "it is in no speaker's folder"))
        elif found.kind == "clip":
            self.clips.append(clip)
        elif found.error:
            self.problems.append(Problem(clip, found.error.code, str(found.error)))

    def _name_folders_without_audio(self) -> None:
        named = {each.name.partition("/")[0] for each in self.clips}
        named |= {problem.clip.name.partition("/")[0] for problem in self.problems}
        for folder, endings in sorted(self._others.items()):
            if folder in named:
                continue
            if endings:  # hardly a speaker's
                files = ", ".join(f"{n} {kind}" for kind, n in endings.most_common(_SHOWN))
                self.warnings.append((folder, f"no speaker: no audio by its ending ({files})"))
            else:
                clip = Clip(self.root / folder, folder, speaker_name(folder))
                self.problems.append(Problem(clip, "no_clips", _EMPTY))

    def _no_clips(self) -> CorpusError:
        directly = f" ({self._loose} clips are directly in it)" if self._loose else ""
        reasons = Counter(p.message for p in self.problems if p.code != "no_speaker")
        why = "".join(f"; {n} of {text}" for text, n in reasons.most_common(_SHOWN))
        return CorpusError(
            f"{self.root}: no speaker folders with audio in them{directly}{why}", _LAYOUT
        )

    def _check_names(self) -> None:
        """Report folders whose names are one name, and refuse those that only look alike."""
        speakers = [*self.clips, *(problem.clip for problem in self.problems)]
        folders: defaultdict[str, set[str]] = defaultdict(set)
        for clip in speakers:
            if clip.speaker:
                folders[clip.speaker].add(clip.name.partition("/")[0])
        for label, own in folders.items():
            if len(own) > 1:
                message = f"{len(own)} folders have this name, in different forms of Unicode"
                self.warnings.append((label, f"{message}: they are one speaker"))
        _refuse_lookalikes(self.root, folders, "rename their folders")


def _read_csv(path: Path) -> Manifest:
    found = _clips_of_table(path)
    clips = []
    for name, clip in sorted(found.items()):
        file, speaker = path.parent / name, speaker_name(clip.speaker)
        for text, what in ((clip.speaker, "speaker"), (name, "path")):
            if not _is_utf8(text) and (what == "speaker" or not file.exists()):
                raise CorpusError(f"{path}: a {what} is not UTF-8: {speaker_name(text)}", _AS_UTF8)
        clips.append(replace(clip, path=file, speaker=speaker))
    _refuse_lookalikes(path, {clip.speaker for clip in clips}, "correct the column speaker")
    return Manifest(path.parent, tuple(clips))


def _clips_of_table(path: Path) -> dict[str, Clip]:
    """The rows of a table by their paths, as they are written there."""
    clips: dict[str, Clip] = {}
    for line, row in read_table(path, _NEEDED, _KNOWN):
        where = f"{path}, line {line}"
        name, speaker = row["path"], row["speaker"]
        split = cast("Side | None", row.get("split", "").strip().lower() or None)
        if not name.strip() or not speaker.strip():
            raise CorpusError(f"{where}: path or speaker is empty")
        if split is not None and split not in SIDES:
            raise CorpusError(f"{where}: split is {split!r}, not one of {', '.join(SIDES)}")
        if name in clips:
            raise CorpusError(f"{where}: {name} is listed twice")
        session = row.get("session", "")
        clips[name] = Clip(Path(name), name, speaker, session, split)
    if not clips:
        raise CorpusError(f"{path} lists no clips")
    if len({clip.split is None for clip in clips.values()}) == 2:
        raise CorpusError(f"{path}: the split column must be filled for all clips or for none")
    return clips


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_lookalikes(source: Path, speakers: Iterable[str], advice: str) -> None:
    """Refuse names that nobody could tell apart in an answer.

    Raises:
        CorpusError: names differ in nothing but case or blanks, or one is blank.
    """
    names = sorted(speakers)
    if blank := [name for name in names if is_blank(name)]:
        raise CorpusError(f"{source}: the name of a speaker is blank: {blank[0]!r}", advice)
    if groups := lookalikes(names):
        shown = "; ".join(" and ".join(map(repr, group)) for group in groups[:_SHOWN])
        more = f"; and {len(groups) - _SHOWN} more" if len(groups) > _SHOWN else ""
        raise CorpusError(
            f"{source}: names of speakers that differ only in case or blanks: {shown}{more}",
            f"{advice}: one person under one name, two people under names that differ more",
        )
