"""The clips of a folder of folders: ``DATA/<speaker>/**/<clip>``.

Each folder is a speaker and the folders below it are sessions (one recording occasion each).
Whatever may hold a speaker's clips but gives none is a ``Problem``: nobody should be missing from a
model without a word.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path

from voxedge.audio.folders import Found, ending, find
from voxedge.data.clips import Clip, Manifest, Problem, refuse_lookalikes
from voxedge.errors import CorpusError
from voxedge.names import speaker_name

_SHOWN = 5  # kinds of files in a message
_LAYOUT = "the expected layout is data/<speaker>/<clip>.wav"
_EMPTY = "an empty folder (copy its clips again, or delete it)"


def read_folder(root: Path) -> Manifest:
    """List the clips of a folder.

    Raises:
        CorpusError: it has no clips, or names of speakers look alike.
    """
    return _Scan(root).manifest()


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
        refuse_lookalikes(self.root, folders, "rename their folders")
