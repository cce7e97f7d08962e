"""What it costs when there is more of it: more clips, longer clips, more speakers.

Time and peak memory are those of a process that does it once, from its start to its end; loading
Python and the model is in them. Memory should not grow with the number of clips.
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
import soundfile

from bench import launch
from bench.prepare import BUILD, ROOT, recordings
from bench.trunk import with_classes
from voxedge.audio.load import load_audio
from voxedge.files import atomic_write
from voxedge.model_file.reader import read_model
from voxedge.threads import available_processors

CLIPS = (1, 10, 100, 1_000, 10_000)
SECONDS = (1, 3, 10, 60, 600)
CLASSES = (10, 100, 1_000, 10_000)
pytestmark = pytest.mark.skipif(not launch.POSSIBLE, reason="this system has no wait4")


def test_clips(benchmark, material, product):
    counts = CLIPS[:2] if material.quick else CLIPS
    paths = recordings(material.run, max(counts))

    def command(count):
        listed = BUILD / f"{count}.txt"
        listed.write_text("\n".join(map(str, paths[:count])))
        return ["bench.fresh", "many", product, listed]

    _measure(benchmark, "clips", counts, command)


def test_seconds(benchmark, material, product):
    lengths = SECONDS[:2] if material.quick else SECONDS
    metadata = read_model(product).metadata
    found, samples = recordings(material.run, 1_000), 0
    parts = []
    for path in itertools.cycle(found):
        parts.append(load_audio(path, metadata.sample_rate))
        samples += len(parts[-1])
        if samples >= max(lengths) * metadata.sample_rate:
            break
    speech = np.concatenate(parts)

    def command(seconds):
        clip = BUILD / f"{seconds}s.wav"
        soundfile.write(clip, speech[: seconds * metadata.sample_rate], metadata.sample_rate)
        return ["voxedge", "identify", clip, "--model", product, "--device", "cpu", "--json"]

    _measure(benchmark, "seconds", lengths, command)


def test_classes(benchmark, material, product):
    sizes: dict[int, int] = {}

    def command(classes):
        made = BUILD / f"{classes}-classes.onnx"
        data = with_classes(product, classes)
        sizes[classes] = len(data)
        with atomic_write(made) as file:
            file.write(data)
        return ["bench.fresh", "bare", made, available_processors()]

    _measure(benchmark, "classes", CLASSES[:2] if material.quick else CLASSES, command, sizes)


def _measure(benchmark, of, amounts, command, file_bytes=None):
    """One process for each amount, and an entry of the results."""
    python = [sys.executable, "-m"]
    commands = {n: [str(word) for word in (*python, *command(n))] for n in amounts}

    def run_all():
        return {n: launch.cost_of(words, ROOT) for n, words in commands.items()}

    run_all_once = benchmark.pedantic(run_all, rounds=1)
    figures = [{"amount": n, **cost._asdict()} for n, cost in run_all_once.items()]
    for figure in figures if file_bytes else ():
        figure["file_bytes"] = file_bytes[figure["amount"]]
    benchmark.extra_info.update(suite="growth", device="cpu", of=of, figures=figures)
