"""``voxedge data check``: what training would use of a corpus, and what it would leave out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

from voxedge.data.corpus import Entry, load_corpus
from voxedge.data.manifest import read_manifest
from voxedge.threads import available_processors

_RATE = 16_000  # Hz, of the shipped recipes
_MEMORY = 512 << 20  # bytes of samples to hold: clips that may be duplicates are needed twice


class SpeakerSummary(TypedDict):
    """The usable clips of one speaker."""

    clips: int
    seconds: float
    sessions: int


class ClipWarning(TypedDict):
    """What is wrong with a clip or folder that is usable all the same."""

    path: str
    message: str


class ClipProblem(TypedDict):
    """Why a clip, or the content of a folder, is left out; docs/errors.md lists the codes."""

    path: str
    speaker: str
    code: str
    message: str


class CorpusReport(TypedDict):
    """What ``voxedge data check --json`` prints."""

    path: str
    clips: int
    usable: int
    hours: float  # of usable clips
    rates: dict[str, int]  # Hz -> usable clips
    speakers: dict[str, SpeakerSummary]
    left_out: dict[str, str]  # speaker without a usable clip -> why
    trainable: bool  # two speakers have enough usable clips
    ignored: list[str]  # files that are not audio
    warnings: list[ClipWarning]
    problems: list[ClipProblem]


def check_corpus(
    data: Path, min_clips: int = 3, progress: Callable[[int, int], None] | None = None
) -> CorpusReport:
    """Decode every clip of a corpus and report its speakers and problems.

    Args:
        data: a corpus folder or a CSV manifest.
        min_clips: usable clips below which a speaker is left out.
        progress: called with (clips done, all clips).

    Raises:
        CorpusError: there is no corpus.
    """
    manifest = read_manifest(data)
    corpus = load_corpus(
        manifest,
        _RATE,
        min_clips=min_clips,
        min_speakers=0,
        memory=_MEMORY,
        workers=available_processors(),
        progress=progress,
    )
    entries = corpus.entries
    return {
        "path": str(data),
        "clips": len(manifest.clips),
        "usable": len(entries),
        "hours": round(sum(entry.seconds for entry in entries) / 3600, 3),
        "rates": dict(sorted(Counter(str(entry.rate) for entry in entries).items())),
        "speakers": _by_speaker(entries),
        "left_out": corpus.left_out,
        "trainable": len(corpus.labels) >= 2,
        "ignored": list(manifest.ignored),
        "warnings": [
            {"path": path, "message": message}
            for path, message in (
                *manifest.warnings,
                *((entry.clip.name, text) for entry in entries for text in entry.warnings),
            )
        ],
        "problems": [
            {"path": p.clip.name, "speaker": p.clip.speaker, "code": p.code, "message": p.message}
            for p in corpus.problems
        ],
    }


def _by_speaker(entries: Sequence[Entry]) -> dict[str, SpeakerSummary]:
    speakers: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        speakers[entry.clip.speaker].append(entry)
    return {
        name: {
            "clips": len(own),
            "seconds": round(sum(entry.seconds for entry in own), 1),
            "sessions": len({entry.clip.session for entry in own}),
        }
        for name, own in sorted(speakers.items())
    }
