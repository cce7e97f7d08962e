"""``python -m bench.shards main``: pack 100,000 short clips, then load an epoch of them.

The clips are 0.3 s of chords at 8 kHz, 20 of each speaker. What is measured is time and memory of
packing, of reading the indices, and of the loading of an epoch, without any training: one JSON
object. Seconds are those of a processor, since other programs may share it. ``--folder`` keeps the
corpus, and goes on with it where it was.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from bench import cli
from voxedge.data.corpus import Corpus, Entry, load_corpus
from voxedge.data.dataset import TrainingSet
from voxedge.data.manifest import read_manifest
from voxedge.data.pack import pack
from voxedge.data.split import split_corpus

_OF_SPEAKER = 20
_RATE, _SECONDS = 8_000, 0.3
_TONES = 6
_WINDOW = 4_000  # samples at 16 kHz
_BATCH = 64
_MARKS = 10  # of an epoch, where memory is looked at

app = cli.new_app()


@app.command()
def main(
    clips: Annotated[int, typer.Argument(help="How many.")] = 100_000,
    folder: Annotated[Path | None, typer.Option(help="For clips and shards.")] = None,
) -> None:
    """Pack, read and load: one JSON object."""
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        write_clips(place / "clips", clips)
        start = time.process_time()
        report = pack(str(place / "clips"), place / "shards", clips_per_shard=2_000)
        packing = {
            "pack_processor_seconds": round(time.process_time() - start, 1),
            "pack_peak_MB": _peak(),
            "shards": report.shards,
            "shards_MB": round(report.bytes / 1e6, 1),
        }
        print(json.dumps({"clips": clips, **packing, **_load_in_a_fresh_process(place / "shards")}))


@app.command()
def load(shards: Path) -> None:
    """Read the indices, and load an epoch."""
    print(json.dumps(measure(shards)))


def write_clips(folder: Path, clips: int) -> None:
    """Write ``folder/<speaker>/<n>.wav``, as far as they are not there."""
    time_axis = np.arange(round(_SECONDS * _RATE)) / _RATE
    for speaker in range(-(-clips // _OF_SPEAKER)):
        own = folder / f"s{speaker:05d}"
        if (own / ".done").exists():
            continue
        own.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(speaker)
        for number in range(_OF_SPEAKER):
            hertz, phases = random.uniform(100, 3_000, _TONES), random.uniform(0, 6, _TONES)
            chord = np.sin(2 * np.pi * hertz[:, None] * time_axis + phases[:, None]).sum(axis=0)
            chord *= np.interp(time_axis, np.linspace(0, _SECONDS, 7), random.uniform(0, 1, 7))
            with wave.open(str(own / f"{number:02d}.wav"), "wb") as file:
                file.setparams((1, 2, _RATE, 0, "NONE", ""))
                file.writeframes((3_000 * chord).astype("<i2").tobytes())
        (own / ".done").touch()


def measure(shards: Path) -> dict[str, Any]:
    """Time and memory of reading the indices and of loading an epoch, in this process."""
    before, start = _resident(), time.process_time()
    corpus = load_corpus(read_manifest(shards), 2 * _RATE, min_clips=3)
    read = time.process_time() - start
    split = split_corpus(corpus.entries, 0.8, 0.1)
    resident, start = [_resident()], time.process_time()
    loaded = _epoch(corpus, split.of(corpus.entries, "train"), resident)
    return {
        "usable": len(corpus.entries),
        "read_processor_seconds": round(read, 1),
        "corpus_MB": round(resident[0] - before, 1),
        "loaded": loaded,
        "clips_a_processor_second": round(loaded / (time.process_time() - start)),
        "resident_MB": resident,
        "peak_MB": _peak(),
    }


def _epoch(corpus: Corpus, entries: Sequence[Entry], resident: list[float]) -> int:
    """Load the batches of an epoch; memory at ten marks is appended."""
    training = TrainingSet(corpus, entries, _BATCH, _WINDOW, True, 0, workers=1)
    every, loaded = max(1, training.steps // _MARKS), 0
    for step, batch in enumerate(training.epoch(0), 1):
        loaded += len(batch.keys)
        if step % every == 0:
            resident.append(_resident())
    return loaded


def _load_in_a_fresh_process(shards: Path) -> dict[str, Any]:
    import subprocess

    command = [sys.executable, "-m", "bench.shards", "load", str(shards)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _resident() -> float:
    """MB of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * resource.getpagesize() / 1e6, 1)


def _peak() -> float:
    """MB at most: ``ru_maxrss`` is in KiB on Linux."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)


if __name__ == "__main__":
    sys.exit(cli.run(app, "python -m bench.shards", None))
