"""How time and memory grow with the number of clips, their length, and the number of speakers.

Both are those of a whole process that does the work once; starting Python and loading the model are
included. Memory should not grow with the number of clips.
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
import soundfile

from bench import launch
from bench.clips import recordings
from bench.prepare import BUILD, ROOT
from bench.trunk import with_classes
from voxedge.audio.load import load_audio
from voxedge.files import atomic_write
from voxedge.model_file.reader import read_model
from voxedge.threads import available_processors

CLIPS = (1, 10, 100, 1_000, 10_000)
SECONDS = (1, 3, 10, 60, 600)
CLASSES = (10, 100, 1_000, 10_000)
pytestmark = pytest.mark.skipif(not launch.POSSIBLE, reason="this system has no wait4")


def test_clips(benchmark, prepared, device_model):
    counts = CLIPS[:2] if prepared.quick else CLIPS
    paths = recordings(prepared.run, max(counts))

    def command(count):
        listed = BUILD / f"{count}.txt"
        listed.write_text("\n".join(map(str, paths[:count])))
        return ["bench.fresh", "many", device_model, listed]

    _measure(benchmark, "clips", counts, command)


def test_seconds(benchmark, prepared, device_model):
    lengths = SECONDS[:2] if prepared.quick else SECONDS
    rate = read_model(device_model).metadata.sample_rate
    speech = _speech(recordings(prepared.run, 1_000), max(lengths) * rate, rate)

    def command(seconds):
        clip = BUILD / f"{seconds}s.wav"
        soundfile.write(clip, speech[: seconds * rate], rate)
        return ["voxedge", "identify", clip, "--model", device_model, "--device", "cpu", "--json"]

    _measure(benchmark, "seconds", lengths, command)


def test_classes(benchmark, prepared, device_model):
    sizes: dict[int, int] = {}

    def command(classes):
        path = BUILD / f"{classes}-classes.onnx"
        data = with_classes(device_model, classes)
        sizes[classes] = len(data)
        with atomic_write(path) as file:
            file.write(data)
        return ["bench.fresh", "bare", path, available_processors()]

    _measure(benchmark, "classes", CLASSES[:2] if prepared.quick else CLASSES, command, sizes)


def _speech(paths, samples, rate):
    """At least so many samples: the recordings one after another, repeated where they are few."""
    clips, found = [], 0
    for path in itertools.cycle(paths):
        clips.append(load_audio(path, rate))
        found += len(clips[-1])
        if found >= samples:
            break
    return np.concatenate(clips)


def _measure(benchmark, of, amounts, command, file_bytes=None):
    """Run one process for each amount, and leave an entry of the results."""
    commands = {n: [str(word) for word in (sys.executable, "-m", *command(n))] for n in amounts}

    def run_all():
        return {n: launch.cost_of(words, ROOT) for n, words in commands.items()}

    costs = benchmark.pedantic(run_all, rounds=1)
    figures = [{"amount": n, **cost._asdict()} for n, cost in costs.items()]
    for figure in figures if file_bytes else ():
        figure["file_bytes"] = file_bytes[figure["amount"]]
    benchmark.extra_info.update(suite="growth", device="cpu", of=of, figures=figures)
