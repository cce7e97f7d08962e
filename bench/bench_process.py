"""What a fresh process costs from its start to its first answer: seconds and peak memory.

Files are in the system's cache (one turn does not count), so what is measured is importing, loading
and answering, not the disk.
"""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import pytest

from bench import launch
from bench.alternate import alternate
from bench.clips import held_out_clips
from bench.contestants import BARE_FP32, BARE_INT8, EAGER, FP32, INT8, SEED
from bench.prepare import ROOT
from voxedge.threads import available_processors

PYTHON = "python"
TURNS = 5  # of some fifteen seconds


@pytest.mark.skipif(not launch.POSSIBLE, reason="this system has no wait4 to measure memory with")
def test_process(benchmark, prepared, windows, rounds):
    single = np.flatnonzero(np.bincount(windows.clip_index) == 1)  # the same work for everyone
    clip = held_out_clips(prepared.run)[single[0] if len(single) else 0].path
    commands = _commands(prepared, clip)
    peaks: dict[str, list[int]] = {name: [] for name in commands}

    def trial(name):
        cost = launch.cost_of([str(word) for word in commands[name]], ROOT)
        peaks[name].append(cost.peak_bytes)
        return cost.seconds

    trials = {name: partial(trial, name) for name in commands}
    timings = alternate(benchmark, trials, min(rounds, TURNS))
    figures = {name: {**t, "peak_bytes": max(peaks[name][1:])} for name, t in timings.items()}
    benchmark.extra_info.update(suite="process", device="cpu", figures=figures)


def _commands(prepared, clip):
    """Contestant -> the command line of a process that answers once."""
    python = sys.executable
    fresh = [python, "-m", "bench.fresh"]
    identify = [python, "-m", "voxedge", "identify", clip, "--json", "--device", "cpu"]
    commands = {}
    for name, bare in ((INT8, BARE_INT8), (FP32, BARE_FP32)):
        if name not in prepared.refused:
            model = prepared.file(name)
            commands[name] = [*identify, "--model", model]
            commands[bare] = [*fresh, "bare", model, available_processors()]
    commands[EAGER] = [*fresh, "eager", prepared.run.folder, clip]
    commands[SEED] = [*fresh, "seed", prepared.seed_run.folder, clip]
    commands[PYTHON] = [python, "-c", "pass"]
    return commands
