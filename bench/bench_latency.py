"""How long one window takes when nothing else is asked: batch 1, a pause before each trial."""

from __future__ import annotations

from functools import partial

from bench.alternate import alternate, clocked


def test_latency(benchmark, device, contestants_on, clips, rounds):
    pcm, lengths = clips.pcm[:1], clips.lengths[:1]
    trials = {
        name: clocked(partial(answer, pcm, lengths))
        for name, answer in contestants_on(device).items()
    }
    figures = alternate(benchmark, trials, 5 * rounds)
    benchmark.extra_info.update(suite="latency", device=device, batch=1, figures=figures)
