"""How many windows a second: the same 32 windows of different clips, in batches of 1, 8 and 32."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from bench.alternate import alternate, clocked

WINDOWS = 32


@pytest.mark.parametrize("batch", [1, 8, 32])
def test_throughput(benchmark, device, batch, contestants_on, clips, rounds):
    firsts = np.unique(clips.owners, return_index=True)[1]  # the first window of each clip
    evenly = np.linspace(0, len(firsts), WINDOWS, endpoint=False).astype(int)
    chosen = firsts[evenly].reshape(-1, batch)
    parts = [(clips.pcm[rows], clips.lengths[rows]) for rows in chosen]

    def all_of_them(answer):
        for pcm, lengths in parts:
            answer(pcm, lengths)

    trials = {
        name: clocked(partial(all_of_them, answer))
        for name, answer in contestants_on(device).items()
    }
    figures = alternate(benchmark, trials, rounds)
    for figure in figures.values():
        figure["per_second"] = WINDOWS / figure["median"]
    benchmark.extra_info.update(suite="throughput", device=device, batch=batch, figures=figures)
