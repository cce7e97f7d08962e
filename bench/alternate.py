"""Timings that can be compared: the things compared take turns within one run.

A machine is never equally fast twice: clocks, other tenants and caches drift over minutes. So each
turn has one trial of every contestant, begun by another one each time, and ratios are taken within
a turn. One turn is one round of pytest-benchmark, whose file also holds the contestants' figures.
Between two trials all is quiet for a moment: the threads of ONNX Runtime wait spinning for about
40 ms after a run, on a processor that the next contestant would miss.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

PAUSE = 0.1  # seconds


@dataclass(frozen=True)
class Timing:
    """Seconds of one contestant's trials."""

    median: float
    low: float  # first quartile
    high: float  # third quartile
    ratio: float  # to the first contestant: median of the turns' own ratios
    rounds: int


def alternate(
    benchmark: Any,  # pytest_benchmark's fixture
    trials: Mapping[str, Callable[[], float]],
    rounds: int,
) -> dict[str, dict[str, float]]:
    """Run every trial ``rounds`` times in turns, after one turn that does not count.

    Args:
        benchmark: the fixture.
        trials: each gives the seconds that it took.
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
    return {name: asdict(timing) for name, timing in summary(seconds, skip=1).items()}


def clocked(function: Callable[[], object]) -> Callable[[], float]:
    """A trial of a function in this process."""

    def trial() -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return trial


def summary(seconds: Mapping[str, Sequence[float]], skip: int = 0) -> dict[str, Timing]:
    """Medians, quartiles and ratios to the first contestant; the first ``skip`` turns are left out.

    Args:
        seconds: of each contestant, turn by turn.
        skip: turns to leave out.
    """
    counted = {name: np.array(values[skip:]) for name, values in seconds.items()}
    reference = next(iter(counted.values()))
    result = {}
    for name, values in counted.items():
        low, median, high = (float(q) for q in np.quantile(values, [0.25, 0.5, 0.75]))
        ratio = float(np.median(values / reference))
        result[name] = Timing(median, low, high, ratio, len(values))
    return result
