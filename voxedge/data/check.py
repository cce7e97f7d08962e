"""``voxedge data check``: a corpus looked at with the eyes of training, before training."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from voxedge.data.corpus import load_corpus
from voxedge.data.manifest import read_manifest
from voxedge.threads import available_processors

_RATE = 16_000


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
