"""The latency of a batch of whole windows on an otherwise idle machine.

Batch 1 is timed in a row of runs, with threads and caches awake; larger ones run once.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from bench.alternate import IN_A_ROW, alternate, timed
from voxedge.threads import available_processors

ALL = available_processors()
THREADS = sorted({1, min(2, ALL), ALL})
TURNS = 3  # of batch 1, for each of the others
BATCHES = {"cpu": (1, 8), "cuda": (1, 8, 32)}


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("batch", sorted({size for sizes in BATCHES.values() for size in sizes}))
def test_latency(benchmark, device, batch, threads, contestants_on, windows, rounds):
    if batch not in BATCHES[device] or (device != "cpu" and threads < ALL):
        pytest.skip("not measured on this device")
    answers, missing = contestants_on(device, threads)
    longest_first = np.argsort(-windows.lengths, kind="stable")  # whole windows, in clip order
    rows = np.resize(longest_first, batch)
    runs, turns = (IN_A_ROW, TURNS * rounds) if batch == 1 else (1, rounds)
    trials = {
        name: timed(partial(answer, windows.pcm[rows], windows.lengths[rows]), runs)
        for name, answer in answers.items()
    }
    benchmark.extra_info.update(
        suite="latency",
        device=device,
        batch=batch,
        threads=threads,
        missing=missing,
        figures=alternate(benchmark, trials, turns),
    )
