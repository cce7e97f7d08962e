"""``voxedge data check``: a corpus looked at with the eyes of training, before training."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from voxedge import console
from voxedge.data.corpus import load_corpus
from voxedge.data.manifest import read_manifest
from voxedge.errors import CorpusError
from voxedge.parallel import available_processors

_RATE = 16_000
_SHOWN = 20


def check_corpus(
    data: Path, min_clips: int = 3, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Decode everything and report, as plain values.

    Raises:
        CorpusError: there is no corpus at all.
    """
    manifest = read_manifest(data)
    corpus = load_corpus(
        manifest,
        _RATE,
        min_clips=min_clips,
        min_speakers=0,
        workers=available_processors(),
        progress=progress,
    )
    speakers: defaultdict[str, dict[str, Any]] = defaultdict(
        lambda: {"clips": 0, "seconds": 0.0, "sessions": set()}
    )
    for entry in corpus.entries:
        own = speakers[entry.clip.speaker]
        own["clips"] += 1
        own["seconds"] += entry.seconds
        own["sessions"].add(entry.clip.session)
    usable = len(speakers)
    return {
        "path": str(data),
        "clips": len(manifest.clips),
        "usable": len(corpus.entries),
        "hours": round(sum(entry.seconds for entry in corpus.entries) / 3600, 3),
        "rates": dict(sorted(Counter(str(entry.rate) for entry in corpus.entries).items())),
        "speakers": {
            name: {
                "clips": own["clips"],
                "seconds": round(own["seconds"], 1),
                "sessions": len(own["sessions"]),
            }
            for name, own in sorted(speakers.items())
        },
        "trainable": usable >= 2,
        "ignored": list(manifest.ignored),
        "warnings": [
            {"path": entry.clip.name, "message": message}
            for entry in corpus.entries
            for message in entry.warnings
        ],
        "problems": [
            {"path": p.clip.name, "speaker": p.clip.speaker, "code": p.code, "message": p.message}
            for p in corpus.problems
        ],
    }


def show_report(report: dict[str, Any]) -> None:
    """The report for people."""
    speakers = report["speakers"]
    console.answer(
        f"{console.printable(report['path'])}: {len(speakers)} speakers, {report['usable']} usable"
        f" clips of {report['clips']}, {report['hours']:.2f} h"
    )
    rates = ", ".join(f"{rate} Hz: {count}" for rate, count in report["rates"].items())
    console.answer(f"  rates    {rates or 'none'}")
    clips = [own["clips"] for own in speakers.values()]
    seconds = [own["seconds"] for own in speakers.values()]
    if speakers:
        console.answer(f"  clips    {min(clips)} to {max(clips)} a speaker")
        console.answer(f"  seconds  {min(seconds):.1f} to {max(seconds):.1f} a speaker")
        several = sum(own["sessions"] > 1 for own in speakers.values())
        console.answer(f"  sessions {several} speakers have several")
    rows = sorted(speakers.items(), key=lambda item: (item[1]["clips"], item[0]))
    console.show_table(
        "speakers, those with the fewest clips first" if len(rows) > _SHOWN else "speakers",
        ["", "clips", "seconds", "sessions"],
        [[name, own["clips"], own["seconds"], own["sessions"]] for name, own in rows[:_SHOWN]],
    )
    for kind in ("problems", "warnings"):
        items = report[kind]
        if items:
            console.answer(f"{len(items)} {kind}")
            counts = Counter(item.get("code", "warning") for item in items)
            console.answer("  " + ", ".join(f"{code}: {n}" for code, n in counts.most_common()))
        for item in items[:_SHOWN]:
            path, message = console.printable(item["path"]), console.printable(item["message"])
            console.answer(f"  {path}: {message}")
        if len(items) > _SHOWN:
            console.answer(f"  and {len(items) - _SHOWN} more: --json lists them all")
    if report["ignored"]:
        console.answer(f"{len(report['ignored'])} files are not audio by their ending, and ignored")
    if not report["trainable"]:
        console.warn(str(CorpusError("two speakers with enough usable clips are needed to train")))
