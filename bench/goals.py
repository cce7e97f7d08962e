"""What is to be reached, and where in the results it is read: two processors, one window of 3 s.

Shapes of the results: see ``bench.__main__``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from bench.alternate import ratio, ratios
from bench.bench_files import BARE, OURS
from bench.bench_training import OURS as LEARNING
from bench.bench_training import SEED_TRAINER
from bench.contestants import (
    BARE_INT8,
    BEHIND_INT8,
    CONTESTANTS,
    ECAPA,
    FP32,
    INT8,
    OPENVINO_FP32,
    RESEMBLYZER,
    SEED,
)

Results: TypeAlias = Mapping[str, Any]


class NotMeasured(Exception):
    """Why there is no figure."""


@dataclass(frozen=True)
class Goal:
    """One row of the table.

    Args:
        what: is measured.
        limit: that it must not pass.
        unit: of the figure: ``ms``, ``x``, ``%``, ``MB``.
        figure: from the results; raises ``NotMeasured``.
        at_least: whether more is better.
        quartiles: of the figure over the turns, where they may lie on both sides of the limit.
    """

    what: str
    limit: float
    unit: str
    figure: Callable[[Results], float]
    at_least: bool = False
    quartiles: Callable[[Results], tuple[float, float]] | None = None

    def row(self, results: Results) -> tuple[str, str, str, str, str]:
        """What, to reach, reached, its multiple of the limit, and whether it is reached."""
        wanted = f"{'≥' if self.at_least else '≤'} {self._shown(self.limit)}"
        try:
            figure = self.figure(results)
        except NotMeasured as reason:
            return self.what, wanted, f"not measured: {reason}", "", ""
        reached = figure >= self.limit if self.at_least else figure <= self.limit
        shown, verdict = self._shown(figure), "yes" if reached else "no"
        if self.quartiles is not None:
            low, high = self.quartiles(results)
            shown = f"{shown} [{low:.0f}, {high:.0f}]"
            verdict = "not told" if low <= self.limit <= high else verdict
        return self.what, wanted, shown, f"{figure / self.limit:.2f} x", verdict

    def _shown(self, value: float) -> str:
        digits = {"ms": 1, "x": 2, "%": 0, "MB": 0}[self.unit]
        return f"{value:.{digits}f} {self.unit}"


def _entry(results: Results, suite: str, **wanted: Any) -> Mapping[str, Any]:
    """The entry of a suite with these values; of several, that with two threads or nearest."""
    found = [
        entry
        for entry in results["figures"].get(suite, [])
        if all(entry[key] == value for key, value in wanted.items())
    ]
    if not found:
        raise NotMeasured(f"no such run of {suite}")
    best: Mapping[str, Any] = min(found, key=lambda entry: abs(entry.get("threads", 2) - 2))
    return best


def _figures(entry: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The entry's figures, which must have these contestants."""
    for name in names:
        if name not in entry["figures"]:
            why = entry.get("missing", {}).get(name, "it did not run")
            raise NotMeasured(f"{CONTESTANTS[name].title}: {why}")
    figures: Mapping[str, Any] = entry["figures"]
    return figures


def _milliseconds(name: str) -> Callable[[Results], float]:
    def figure(results: Results) -> float:
        entry = _entry(results, "latency", device="cpu", batch=1)
        return float(1e3 * _figures(entry, name)[name]["median"])

    return figure


def _latency_ratio(name: str, to: str) -> Callable[[Results], float]:
    def figure(results: Results) -> float:
        entry = _entry(results, "latency", device="cpu", batch=1)
        return ratio(_figures(entry, name, to), name, to)

    return figure


def _front_end(results: Results) -> float:
    return float(np.median(_front_end_turns(results)))


def _front_end_quartiles(results: Results) -> tuple[float, float]:
    low, high = (float(q) for q in np.quantile(_front_end_turns(results), [0.25, 0.75]))
    return low, high


def _front_end_turns(results: Results) -> Any:
    entry = _entry(results, "latency", device="cpu", batch=1)
    return 100 * (1 - ratios(_figures(entry, BEHIND_INT8, INT8), BEHIND_INT8, INT8))


def _start(results: Results) -> float:
    return ratio(_figures(_entry(results, "process"), INT8, BARE_INT8), INT8, BARE_INT8)


def _peak(results: Results) -> float:
    return float(_figures(_entry(results, "process"), INT8)[INT8]["peak_bytes"] / 1e6)


def _files(results: Results) -> float:
    figures = _entry(results, "files")["figures"]
    return 100 * ratio(figures, BARE, OURS)


def _training(results: Results) -> float:
    return ratio(_entry(results, "training", pixels=224)["figures"], SEED_TRAINER, LEARNING)


def _installed(results: Results) -> float:
    if "bytes" not in results["installed"]:
        raise NotMeasured(results["installed"]["missing"])
    return float(results["installed"]["bytes"] / 1e6)


GOALS = (
    Goal("int8, batch 1", 5.5, "ms", _milliseconds(INT8)),
    Goal("int8 beside the bare int8 ResNet-18", 1.15, "x", _latency_ratio(INT8, BARE_INT8)),
    Goal("front end, of the int8 run", 15, "%", _front_end, quartiles=_front_end_quartiles),
    Goal("fp32, batch 1", 18, "ms", _milliseconds(FP32)),
    Goal("fp32 beside OpenVINO float32, same file", 1.0, "x", _latency_ratio(FP32, OPENVINO_FP32)),
    Goal("seed's pipeline beside int8", 15, "x", _latency_ratio(SEED, INT8), at_least=True),
    Goal("SpeechBrain ECAPA beside int8", 6, "x", _latency_ratio(ECAPA, INT8), at_least=True),
    Goal("Resemblyzer beside int8", 6, "x", _latency_ratio(RESEMBLYZER, INT8), at_least=True),
    Goal("process start to answer, int8, beside a bare script", 1.5, "x", _start),
    Goal("peak memory of `identify` on one clip, int8", 120, "MB", _peak),
    Goal("clips from files, of the bare session on ready batches", 90, "%", _files, at_least=True),
    Goal("wheel and runtime installed, no torch", 200, "MB", _installed),
    Goal("training, 224 pixels, beside the seed's trainer", 2, "x", _training, at_least=True),
)
