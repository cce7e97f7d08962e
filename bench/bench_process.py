"""What a fresh process costs, from its start to its first answer: seconds and peak memory.

Files are in the system's cache (one turn does not count), so this is the work of importing, loading
and answering, not the disk's.
"""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import pytest

from bench import launch
from bench.alternate import alternate
from bench.contestants import BARE_FP32, BARE_INT8, EAGER, FP32, INT8, SEED
from bench.prepare import ROOT, held_out
from voxedge.threads import available_processors

PYTHON = "python"
TURNS = 5  # of some fifteen seconds


@pytest.mark.skipif(not launch.POSSIBLE, reason="this system has no wait4 to count memory with")
def test_process(benchmark, material, clips, rounds):
    single = np.flatnonzero(np.bincount(clips.clip_index) == 1)  # all have the same work
    clip = held_out(material.run)[single[0] if len(single) else 0].path
    python = sys.executable
    identify = [python, "-m", "voxedge", "identify", clip, "--json", "--device", "cpu"]
    fresh = [python, "-m", "bench.fresh"]
    commands = {}
    for name, bare, precision in ((INT8, BARE_INT8, "int8"), (FP32, BARE_FP32, "fp32")):
        if precision not in material.refused:
            model = material.file(precision)
            commands[name] = [*identify, "--model", model]
            commands[bare] = [*fresh, "bare", model, available_processors()]
    commands[EAGER] = [*fresh, "eager", material.run.folder, clip]
    commands[SEED] = [*fresh, "seed", material.seed_run.folder, clip]
    commands[PYTHON] = [python, "-c", "pass"]
    peaks: dict[str, list[int]] = {name: [] for name in commands}

    def trial(name):
        cost = launch.cost_of([str(word) for word in commands[name]], ROOT)
        peaks[name].append(cost.peak_bytes)
        return cost.seconds

    figures = alternate(
        benchmark, {name: partial(trial, name) for name in commands}, min(rounds, TURNS)
    )
    for name, figure in figures.items():
        figure["peak_bytes"] = max(peaks[name][1:])
    benchmark.extra_info.update(suite="process", device="cpu", figures=figures)
