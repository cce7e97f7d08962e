"""The clips of a corpus and their speakers: what every kind of corpus is read into."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from voxedge.audio.limits import Samples
from voxedge.audio.load import StoredAudio
from voxedge.errors import CorpusError
from voxedge.names import is_blank, lookalikes

Side: TypeAlias = Literal["train", "validation", "test"]
SIDES: tuple[Side, ...] = get_args(Side)

_SHOWN = 5  # groups of names in a message


@dataclass(frozen=True)
class Examined:
    """What is known of a clip that was decoded when its corpus was packed."""

    sample_rate: int  # Hz, that it was decoded to
    seconds: float
    rate: int  # Hz, of the file
    digest: str  # SHA-256 of the decoded samples
    warnings: tuple[str, ...]
    envelope: Samples  # [F], see ``near_duplicates``


@dataclass(frozen=True)
class Clip:
    """A clip and its speaker."""

    source: Path | StoredAudio
    name: str  # relative to the corpus, with forward slashes
    speaker: str
    session: str = ""
    split: Side | None = None  # if the manifest prescribes one
    examined: Examined | None = field(default=None, repr=False, compare=False)


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


def refuse_lookalikes(source: Path, speakers: Iterable[str], advice: str) -> None:
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
