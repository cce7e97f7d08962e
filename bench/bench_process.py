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
from bench.contestants import EAGER, OURS, SEED
from bench.prepare import ROOT, held_out
from voxedge.parallel import available_processors

BARE, PYTHON = "bare", "python"


@pytest.mark.skipif(not launch.POSSIBLE, reason="this system has no wait4 to count memory with")
def test_process(benchmark, material, clips, rounds):
    single = np.flatnonzero(np.bincount(clips.owners) == 1)  # all have the same work
    clip = held_out(material.run)[single[0] if len(single) else 0].path
    python = sys.executable
    identify = [python, "-m", "voxedge", "identify", clip, "--json", "--device", "cpu"]
    fresh = [python, "-m", "bench.fresh"]
    commands = {
        OURS: [*identify, "--model", material.model],
        EAGER: [*fresh, "eager", material.run.folder, clip],
        SEED: [*fresh, "seed", material.seed_run.folder, clip],
        BARE: [*fresh, "bare", material.model, available_processors()],
        PYTHON: [python, "-c", "pass"],
    }
    peaks: dict[str, list[int]] = {name: [] for name in commands}

    def trial(name):
        cost = launch.cost_of([str(word) for word in commands[name]], ROOT)
        peaks[name].append(cost.peak_bytes)
        return cost.seconds

    figures = alternate(benchmark, {name: partial(trial, name) for name in commands}, rounds)
    for name, figure in figures.items():
        figure["peak_bytes"] = max(peaks[name][1:])
    benchmark.extra_info.update(suite="process", device="cpu", figures=figures)
