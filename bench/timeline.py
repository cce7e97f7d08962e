"""``python -m bench.timeline MODEL ...``: who spoke when, on composed conversations, beside senko.

Diarisation error rates are those of pyannote.metrics: missed speech, false alarms and confused
speakers, over all that is spoken; overlapping speech counts for each of its speakers. A collar is
given on each side of a boundary. Thresholds are chosen on one half of the voices
(``--half chosen --alike 0.3,0.35``) and reported on the other. The figures are written after every
conversation; those of a system that are there already stay.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypedDict

import typer

from bench import cli
from bench.conversations import RATE, Conversation, Turn, compose
from bench.prepare import ROOT
from voxedge.errors import MissingExtra
from voxedge.files import atomic_write
from voxedge.inference.identifier import Identifier
from voxedge.timeline.naming import nobody
from voxedge.timeline.timeline import Settings, describe, embed
from voxedge.timeline.windows import SpeechWindows

OUT = ROOT / "bench" / "timeline.json"
COLLARS = (0.0, 0.25)  # seconds on each side

#: From a conversation to who speaks when in it, by each of several thresholds.
System: TypeAlias = Callable[[Conversation], dict[str, list[Turn]]]

app = cli.new_app()


class Figures(TypedDict):
    """What a system did with one conversation; seconds."""

    snr: float | None
    seconds: float  # of the conversation
    processor: float  # seconds that were computed
    speakers: int
    found: int
    total: dict[str, float]  # by collar: all that is spoken
    missed: dict[str, float]
    false_alarm: dict[str, float]
    confusion: dict[str, float]


@app.command()
def main(
    models: Annotated[list[Path], typer.Argument(help="Model files with embeddings.")],
    data: Annotated[Path, typer.Option(help="The folder of the corpora.")] = Path("../shared/data"),
    half: Annotated[
        str, typer.Option(help="Of the voices: chosen, for parameters, or reported.")
    ] = "reported",
    alike: Annotated[
        str | None, typer.Option(help="Thresholds to compare, with commas.", show_default="as set")
    ] = None,
    senko: Annotated[bool, typer.Option(help="Measure senko too, if it is installed.")] = True,
    out: Annotated[Path, typer.Option(help="The file of the figures.")] = OUT,
) -> None:
    """Measure diarisation error rates and speed, on one thread."""
    cosines = [None] if alike is None else [float(word) for word in alike.split(",")]
    systems: dict[str, System] = {}
    if senko:
        systems |= _senko()
    for path in models:
        systems[path.name] = _voxedge(path, cosines)
    which: Literal["chosen", "reported"] = "chosen" if half == "chosen" else "reported"
    results: dict[str, dict[str, Figures]] = json.loads(out.read_text()) if out.exists() else {}
    for conversation in sorted(compose(data, which), key=lambda each: each.snr or 1e3)[::-1]:
        for name, system in systems.items():
            if any(conversation.name in of for key, of in results.items() if key.startswith(name)):
                continue
            before = time.process_time()
            answers = system(conversation)
            seconds = time.process_time() - before
            for threshold, turns in answers.items():
                kept = results.setdefault(f"{name}{threshold}", {})
                kept[conversation.name] = _score(conversation, turns, seconds)
        with atomic_write(out) as file:
            file.write((json.dumps(results, indent=1) + "\n").encode())
    for line in table(results):
        print(line)


def _voxedge(path: Path, cosines: list[float | None]) -> System:
    model = Identifier(path, device="cpu", threads=1)

    def run(conversation: Conversation) -> dict[str, list[Turn]]:
        cutter = SpeechWindows(RATE)
        windows = [*cutter.feed(conversation.samples), *cutter.finish()]
        embedded = embed(windows, model)
        found = {}
        for cosine in cosines:
            _, segments = describe(embedded, model, nobody, Settings(cosine=cosine))
            key = "" if cosine is None else f" {cosine:g}"
            found[key] = [Turn(each.start, each.end, each.speaker) for each in segments]
        return found

    return run


def _senko() -> dict[str, System]:
    """The package senko: Silero VAD, CAM++ and spectral clustering on a CPU."""
    try:
        import senko
        import torch
    except ImportError as error:
        print(f"senko is left out: {error}")
        return {}
    torch.set_num_threads(1)
    diarizer = senko.Diarizer(device="cpu", warmup=False, quiet=True)
    diarizer.logical_cores = 1

    def run(conversation: Conversation) -> dict[str, list[Turn]]:
        found = diarizer.diarize_samples(conversation.samples, RATE) or {}
        return {  # merged: over pauses of up to 4 s
            f" {kind}": [
                Turn(row["start"], row["end"], row["speaker"])
                for row in found.get(f"{kind}_segments", [])
            ]
            for kind in ("raw", "merged")
        }

    return {"senko": run}


def _score(conversation: Conversation, turns: list[Turn], seconds: float) -> Figures:
    try:
        from pyannote.core import Segment, Timeline
        from pyannote.metrics.diarization import DiarizationErrorRate
    except ImportError as error:
        raise MissingExtra(str(error), "pip install pyannote.metrics") from error
    reference, answer = _annotation(conversation.reference), _annotation(turns)
    whole = Timeline([Segment(0, len(conversation.samples) / RATE)])
    parts: dict[str, dict[str, float]] = {}
    for collar in COLLARS:
        measure = DiarizationErrorRate(collar=2 * collar)  # half of it on each side
        components = measure.compute_components(reference, answer, uem=whole)
        for key in ("total", "missed detection", "false alarm", "confusion"):
            parts.setdefault(key, {})[f"{collar:g}"] = round(float(components[key]), 3)
    return {
        "snr": conversation.snr,
        "seconds": round(len(conversation.samples) / RATE, 2),
        "processor": round(seconds, 3),
        "speakers": len(reference.labels()),
        "found": len(answer.labels()),
        "total": parts["total"],
        "missed": parts["missed detection"],
        "false_alarm": parts["false alarm"],
        "confusion": parts["confusion"],
    }


def _annotation(turns: tuple[Turn, ...] | list[Turn]) -> Any:
    from pyannote.core import Annotation, Segment

    found = Annotation()
    for number, (start, end, speaker) in enumerate(turns):
        found[Segment(start, end), number] = speaker
    return found


def table(results: dict[str, dict[str, Figures]]) -> Iterator[str]:
    """The figures of each system and kind of noise, in Markdown."""
    yield (
        "| system | noise | DER % (collar 0.25) | missed | false alarm | confusion"
        " | DER % (collar 0) | number of speakers right | x real time |"
    )
    yield "|" + "---|" * 9
    for name, of_name in results.items():
        for snr in sorted({each["snr"] for each in of_name.values()}, key=lambda snr: -(snr or 99)):
            rows = [each for each in of_name.values() if each["snr"] == snr]
            yield f"| {name} | {'none' if snr is None else f'{snr:g} dB'} | {_cells(rows)} |"


def _cells(rows: list[Figures]) -> str:
    def share(key: str, collar: str) -> float:
        whole = sum(row["total"][collar] for row in rows)
        return 100 * sum(row[key][collar] for row in rows) / whole  # type: ignore[literal-required]

    kinds = ("missed", "false_alarm", "confusion")
    narrow = [share(kind, "0.25") for kind in kinds]
    right = sum(row["speakers"] == row["found"] for row in rows)
    speed = sum(row["seconds"] for row in rows) / sum(row["processor"] for row in rows)
    cells = [f"**{sum(narrow):.1f}**", *(f"{value:.1f}" for value in narrow)]
    cells += [f"{sum(share(kind, '0') for kind in kinds):.1f}"]
    return " | ".join([*cells, f"{right} of {len(rows)}", f"{speed:.0f}"])


if __name__ == "__main__":
    sys.exit(cli.run(app, "python -m bench.timeline", None))
