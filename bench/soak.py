"""``python -m bench.soak``: minutes of mixed clips on many threads: what changes, and what grows?

Clips of 0.3 to 15 s in several formats, one in twenty of them broken, go to an ``Identifier`` that
eight threads share, and then to ``voxedge serve`` from this, another process. Every answer is
compared with that of a serial run. After each round, when nothing is under way, the memory, the
open descriptors and the threads of the program are counted; those of a service with its decoders.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

import numpy as np
import psutil
import typer

from bench import cli
from bench.campaigns import ROOT, SOAK, SoakFigures, SoakRecord
from bench.machine import describe_machine
from bench.service import ask, running_service
from tests.conftest import voice
from tests.faults import make
from voxedge.errors import AudioError, VoxedgeError
from voxedge.files import write_json
from voxedge.inference.identifier import Identifier

#: A record of ``voxedge identify --json``, or the code of an error.
Outcome: TypeAlias = dict[str, Any] | str

_ROUND = 200  # clips
_BAD = 0.05  # share of them
_WARM_UP = 0.3  # of the time: pools, caches and allocators fill
_SETTLING = 0.5  # seconds in which a service closes what its clients have closed
_TOLERANCE = 1e-3  # of probabilities, between batches of different sizes
_MOST_GROWTH = 1.0  # MiB in 1,000 runs
_ENOUGH = 3_000  # runs, to tell growth from caches and allocators that fill
_SECONDS = (0.3, 0.8, 1.5, 2.9, 3.1, 4.5, 7.0, 15.0)
_FORMATS = (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "OPUS"), ("MP3", None), ("WAV", "ULAW"))
_PACKAGES = (
    *("voxedge-speaker", "onnxruntime", "numpy", "soundfile", "soxr", "fastapi", "uvicorn"),
    "starlette",
)

app = cli.new_app()


class Held(NamedTuple):
    """What processes hold at the end of a round."""

    mib: float
    descriptors: int
    threads: int


class Clips(NamedTuple):
    """Files, and what a serial run says of them."""

    files: list[bytes]
    expected: list[Outcome]
    good: int  # so many of them, before the bad ones


@app.command()
def main(
    seconds: Annotated[float, typer.Option(help="For each of the two.")] = 600.0,
    threads: Annotated[int, typer.Option(help="That ask at once.")] = 8,
    model: Annotated[Path, typer.Option(help="A model file that names speakers.")] = ROOT
    / "bench/models/speechocean762-200.int8.onnx",
    record: Annotated[bool, typer.Option("--record", help="Write bench/soak.json.")] = False,
) -> None:
    """Soak the library, then the service; fails on a wrong answer, or if something grows."""
    identifier = Identifier(model, device="cpu")
    clips = make_clips(identifier)
    found: SoakRecord = {
        "date": date.today().isoformat(),
        "threads": threads,
        "library": soak_library(identifier, clips, threads, seconds),
        "service": soak_service(model, clips, threads, seconds),
        "machine": describe_machine(_PACKAGES),
    }
    if record:
        write_json(SOAK, found)
    wrong = [
        f"{name}: {fault}"
        for name, figures in (("library", found["library"]), ("service", found["service"]))
        for fault in faults(figures)
    ]
    if wrong:
        raise VoxedgeError("; ".join(wrong))


def soak_library(identifier: Identifier, clips: Clips, threads: int, seconds: float) -> SoakFigures:
    """Soak an ``Identifier`` in this process."""
    process = psutil.Process()
    with ThreadPoolExecutor(threads) as pool:

        def answer(chosen: Sequence[int]) -> list[Outcome]:
            return list(pool.map(lambda number: outcome(identifier, clips.files[number]), chosen))

        return soak("library", answer, lambda: held([process]), clips, seconds)


def soak_service(model: Path, clips: Clips, threads: int, seconds: float) -> SoakFigures:
    """Soak a service, from this process."""
    with running_service(model) as (port, started):
        service = psutil.Process(started.pid)

        def answer(chosen: Sequence[int]) -> list[Outcome]:
            answers = ask(port, [clips.files[number] for number in chosen], threads)
            return [
                each.record if each.status == 200 else each.record.get("error", {}).get("code", "")
                for each in answers
            ]

        def holds() -> Held:
            time.sleep(_SETTLING)
            return held([service, *service.children(recursive=True)])

        return soak("service", answer, holds, clips, seconds)


def soak(
    name: str,
    answer: Callable[[Sequence[int]], list[Outcome]],
    holds: Callable[[], Held],
    clips: Clips,
    seconds: float,
) -> SoakFigures:
    """Ask round after round until the time is over.

    Args:
        name: of the program, for people.
        answer: gives the outcomes of some clips, in order.
        holds: what the program holds now.
        clips: are chosen from, at random.
        seconds: at least.
    """
    chance = random.Random(0)
    runs = bad = wrong = 0
    samples: list[tuple[int, Held]] = []
    began = time.monotonic()
    spent = 0.0
    while spent < seconds or len(samples) < 2:
        chosen = [choose(chance, clips) for _ in range(_ROUND)]
        outcomes = answer(chosen)
        wrong += sum(
            not same(found, clips.expected[number])
            for number, found in zip(chosen, outcomes, strict=True)
        )
        runs += len(chosen)
        bad += sum(number >= clips.good for number in chosen)
        now, spent = holds(), time.monotonic() - began
        if spent > _WARM_UP * seconds:
            samples.append((runs, now))
        print(f"{name:<8} {spent:6.0f} s {runs:7,} runs {wrong:3} wrong  {now}", flush=True)
    return {
        "seconds": round(spent),
        "runs": runs,
        "bad_files": bad,
        "wrong": wrong,
        "mib": (round(samples[0][1].mib, 1), round(samples[-1][1].mib, 1)),
        "mib_per_1000_runs": round(slope(samples), 3),
        "descriptors": span([each.descriptors for _, each in samples]),
        "threads": span([each.threads for _, each in samples]),
    }


def faults(figures: SoakFigures) -> Iterator[str]:
    """What a program did wrong, or holds more and more of."""
    if figures["wrong"]:
        yield f"{figures['wrong']} of {figures['runs']} answers are wrong"
    if figures["mib_per_1000_runs"] >= _MOST_GROWTH and figures["runs"] >= _ENOUGH:
        yield f"memory grows by {figures['mib_per_1000_runs']} MiB in 1,000 runs"
    for name, (least, most) in (
        ("descriptors", figures["descriptors"]),
        ("threads", figures["threads"]),
    ):
        if least != most:
            yield f"{least} to {most} {name}"


def make_clips(identifier: Identifier) -> Clips:
    """Voices of many lengths in many formats, then broken files; and the serial run."""
    good = [
        make.encoded(voice(90.0 + 13 * number, seconds, number), kind, subtype)
        for number, seconds in enumerate(_SECONDS)
        for kind, subtype in _FORMATS
    ]
    sound = make.sound(1.0)
    not_finite = sound.copy()
    not_finite[777] = np.nan
    bad = [
        b"",
        b"RIFF",
        b"<html></html>",
        make.wav(sound[:100]),
        make.float_wav(not_finite),
        make.encoded(sound, "FLAC")[:50],
        make.riff(make.fmt(channels=1_024), make.chunk(b"data", make.pcm16(sound))),
        np.random.default_rng(0).bytes(5_000),
    ]
    files = good + bad
    return Clips(files, [outcome(identifier, data) for data in files], len(good))


def choose(chance: random.Random, clips: Clips) -> int:
    """A clip, of which one in twenty is bad."""
    if chance.random() < _BAD:
        return chance.randrange(clips.good, len(clips.files))
    return chance.randrange(clips.good)


def outcome(identifier: Identifier, data: bytes) -> Outcome:
    """What the library says of a file."""
    try:
        return dict(identifier.identify(data).to_dict())
    except AudioError as error:
        return error.code


def same(found: Outcome, expected: Outcome) -> bool:
    """Whether two outcomes are one, but for rounding."""
    if isinstance(found, str) or isinstance(expected, str):
        return found == expected
    numbers = ("predictions", "known", "least_known")
    if any(found.get(key) != expected[key] for key in expected if key not in numbers):
        return False
    if abs(found.get("known", 0.0) - expected.get("known", 0.0)) > _TOLERANCE:
        return False
    theirs = {each["speaker"]: each["probability"] for each in found.get("predictions", [])}
    ours = {each["speaker"]: each["probability"] for each in expected.get("predictions", [])}
    ranks = zip(theirs.values(), ours.values(), strict=False)
    return len(theirs) == len(ours) and all(
        abs(a - b) <= _TOLERANCE
        for a, b in (*ranks, *((theirs[name], ours[name]) for name in theirs.keys() & ours.keys()))
    )


def held(processes: Sequence[psutil.Process]) -> Held:
    """What processes hold together."""
    return Held(
        round(sum(each.memory_info().rss for each in processes) / (1 << 20), 1),
        sum(each.num_fds() for each in processes),
        sum(each.num_threads() for each in processes),
    )


def slope(samples: Sequence[tuple[int, Held]]) -> float:
    """MiB in 1,000 runs: the median slope of all pairs (Theil 1950, Sen 1968).

    An allocator's single step of some MiB does not move it; what grows from round to round does.
    """
    runs, mib = np.array([(runs, each.mib) for runs, each in samples]).T
    first, second = np.triu_indices(len(runs), 1)
    return 1_000 * float(np.median((mib[second] - mib[first]) / (runs[second] - runs[first])))


def span(values: Sequence[int]) -> tuple[int, int]:
    """The least and the most."""
    return min(values), max(values)


if __name__ == "__main__":
    sys.exit(cli.run(app, "python -m bench.soak", None))
