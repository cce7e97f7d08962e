"""Timings that can be compared: the contestants take turns within one run.

A machine is never equally fast twice: clocks, other tenants and caches drift over minutes. So each
turn has one trial of every contestant, starting with another one each time, and ratios are taken
within a turn. One turn is one round of pytest-benchmark, whose file also keeps the trials of each
contestant. Between two trials there is a pause: a runtime's threads may spin after a run, those of
ONNX Runtime for about 40 ms, on a processor that the next contestant needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.results import Timing

PAUSE = 0.1  # seconds
IN_A_ROW = 10  # runs of a trial that takes milliseconds: steady from the sixth on
_DIGITS = 7  # of a second


def alternate(
    benchmark: Any,  # pytest_benchmark's fixture
    trials: Mapping[str, Callable[[], float]],
    rounds: int,
) -> dict[str, Timing]:
    """Run every trial ``rounds`` times in turns, after one turn that does not count.

    Args:
        benchmark: the fixture.
        trials: contestant -> a function that returns the seconds that it took.
        rounds: turns that count.
    """
    names = list(trials)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    turns = iter(range(rounds + 1))

    def turn() -> None:
        first = next(turns) % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(PAUSE)
            seconds[name].append(trials[name]())

    benchmark.pedantic(turn, rounds=rounds, warmup_rounds=1)
    return {name: _timing(values[1:]) for name, values in seconds.items()}


def timed(function: Callable[[], object], runs: int = 1) -> Callable[[], float]:
    """A trial of a function in this process.

    Args:
        function: what is timed.
        runs: one after another; the trial's time is the median of the second half of them. The
            first ones find another contestant's weights in the caches, and threads asleep.
    """

    def trial() -> float:
        seconds = []
        for _ in range(runs):
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
        return float(np.median(seconds[runs // 2 :]))

    return trial


def ratio(timings: Mapping[str, Timing], name: str, to: str) -> float:
    """How many times as long as another one a contestant took: median of the turns' own ratios."""
    return float(np.median(ratios(timings, name, to)))


def ratios(timings: Mapping[str, Timing], name: str, to: str) -> npt.NDArray[np.float64]:
    """How many times as long as another one a contestant took, turn by turn."""
    ours, theirs = (np.array(timings[which]["seconds"]) for which in (name, to))
    quotients: npt.NDArray[np.float64] = ours / theirs
    return quotients


def _timing(seconds: list[float]) -> Timing:
    low, median, high = (float(q) for q in np.quantile(seconds, [0.25, 0.5, 0.75]))
    rounded = [round(value, _DIGITS) for value in seconds]
    return {"median": median, "low": low, "high": high, "seconds": rounded}
