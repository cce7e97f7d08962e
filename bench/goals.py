"""The goals, and where in the results each is read: two processors, one window of 3 s."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from bench.alternate import ratio, ratios
from bench.bench_files import BARE, DECODING, OURS
from bench.bench_training import OURS as OUR_TRAINING
from bench.bench_training import SEED_TRAINER
from bench.contestants import (
    BARE_INT8,
    BEHIND_INT8,
    CAMPPLUS_INT8,
    CAMPPLUS_USUAL,
    CONTESTANTS,
    ECAPA,
    FP32,
    INT8,
    OPENVINO_FP32,
    RESEMBLYZER,
    SEED,
)
from bench.results import Latency, Process, Results

_Entry = TypeVar("_Entry")
_THREADS = 2  # of the goals; where it was not measured, the nearest number counts
_DIGITS = {"ms": 1, "x": 2, "%": 0, "MB": 0}


class NotMeasured(Exception):
    """Why there is no value."""


@dataclass(frozen=True)
class Goal:
    """One row of the table.

    Args:
        what: is measured.
        limit: that the value must not pass.
        unit: of the value: ``ms``, ``x``, ``%``, ``MB``.
        value: read from the results; raises ``NotMeasured``.
        at_least: whether more is better.
        quartiles: of the value over the turns, where turns may lie on both sides of the limit.
    """

    what: str
    limit: float
    unit: str
    value: Callable[[Results], float]
    at_least: bool = False
    quartiles: Callable[[Results], tuple[float, float]] | None = None

    def row(self, results: Results) -> tuple[str, str, str, str, str]:
        """What is measured, goal, value, value as a multiple of the limit, and whether it is met.

        It is unclear whether a goal is met whose limit lies between the quartiles.
        """
        goal = f"{'≥' if self.at_least else '≤'} {self._with_unit(self.limit)}"
        try:
            value = self.value(results)
        except NotMeasured as reason:
            return self.what, goal, f"not measured: {reason}", "", ""
        met = value >= self.limit if self.at_least else value <= self.limit
        shown, verdict = self._with_unit(value), "yes" if met else "no"
        if self.quartiles is not None:
            low, high = self.quartiles(results)
            shown = f"{shown} [{low:.0f}, {high:.0f}]"
            verdict = "unclear" if low <= self.limit <= high else verdict
        return self.what, goal, shown, f"{value / self.limit:.2f} x", verdict

    def _with_unit(self, value: float) -> str:
        return f"{value:.{_DIGITS[self.unit]}f} {self.unit}"


def _require(entry: Latency | Process, *names: str) -> None:
    """Raise ``NotMeasured`` unless these contestants ran."""
    for name in names:
        if name not in entry["figures"]:
            missing: Mapping[str, str] = entry.get("missing", {})  # type: ignore[assignment]
            reason = missing.get(name, "it did not run")
            raise NotMeasured(f"{CONTESTANTS[name].title}: {reason}")


def _first(entries: Sequence[_Entry], suite: str) -> _Entry:
    if not entries:
        raise NotMeasured(f"no such run of {suite}")
    return entries[0]


def _latency_of(results: Results, *names: str) -> Latency:
    """The entry of batch 1 on the CPU, with two threads or the nearest number."""
    entries = [
        entry
        for entry in results["figures"].get("latency", [])
        if entry["device"] == "cpu" and entry["batch"] == 1
    ]
    nearest = sorted(entries, key=lambda entry: abs(entry["threads"] - _THREADS))
    found = _first(nearest, "latency")
    _require(found, *names)
    return found


def _process_of(results: Results, *names: str) -> Process:
    found = _first(results["figures"].get("process", []), "process")
    _require(found, *names)
    return found


def _milliseconds(name: str) -> Callable[[Results], float]:
    def value(results: Results) -> float:
        return 1e3 * _latency_of(results, name)["figures"][name]["median"]

    return value


def _latency_ratio(name: str, to: str) -> Callable[[Results], float]:
    def value(results: Results) -> float:
        return ratio(_latency_of(results, name, to)["figures"], name, to)

    return value


def _front_end(results: Results) -> float:
    return float(np.median(_front_end_by_turn(results)))


def _front_end_quartiles(results: Results) -> tuple[float, float]:
    low, high = (float(q) for q in np.quantile(_front_end_by_turn(results), [0.25, 0.75]))
    return low, high


def _front_end_by_turn(results: Results) -> npt.NDArray[np.float64]:
    """Percent of the int8 run that is not spent behind the front end, in each turn."""
    timings = _latency_of(results, BEHIND_INT8, INT8)["figures"]
    percent: npt.NDArray[np.float64] = 100 * (1 - ratios(timings, BEHIND_INT8, INT8))
    return percent


def _process_ratio(results: Results) -> float:
    return ratio(_process_of(results, INT8, BARE_INT8)["figures"], INT8, BARE_INT8)


def _peak_megabytes(results: Results) -> float:
    return _process_of(results, INT8)["figures"][INT8]["peak_bytes"] / 1e6


def _files_percent(results: Results) -> float:
    """Percent of 1 / (1 / decoding + 1 / session), which no program from files can exceed."""
    timings = _first(results["figures"].get("files", []), "files")["figures"]
    return float(np.median(100 * (ratios(timings, DECODING, OURS) + ratios(timings, BARE, OURS))))


def _training_ratio(results: Results) -> float:
    entries = [each for each in results["figures"].get("training", []) if each["pixels"] == 224]
    return ratio(_first(entries, "training")["figures"], SEED_TRAINER, OUR_TRAINING)


def _installed_megabytes(results: Results) -> float:
    if "bytes" not in results["installed"]:
        raise NotMeasured(results["installed"]["missing"])
    return results["installed"]["bytes"] / 1e6


GOALS = (
    Goal("int8, batch 1", 5.5, "ms", _milliseconds(INT8)),
    Goal("int8, multiple of the bare int8 ResNet-18", 1.15, "x", _latency_ratio(INT8, BARE_INT8)),
    Goal("front end, share of the int8 run", 15, "%", _front_end, quartiles=_front_end_quartiles),
    Goal("fp32, batch 1", 18, "ms", _milliseconds(FP32)),
    Goal(
        "fp32, multiple of OpenVINO float32 on the same file",
        *(1.0, "x", _latency_ratio(FP32, OPENVINO_FP32)),
    ),
    Goal("seed's pipeline, multiple of int8", 15, "x", _latency_ratio(SEED, INT8), at_least=True),
    Goal("SpeechBrain ECAPA, multiple of int8", 6, "x", _latency_ratio(ECAPA, INT8), at_least=True),
    Goal("Resemblyzer, multiple of int8", 6, "x", _latency_ratio(RESEMBLYZER, INT8), at_least=True),
    Goal(
        "CAM++ behind kaldi-native-fbank, multiple of it folded in int8",
        *(2, "x", _latency_ratio(CAMPPLUS_USUAL, CAMPPLUS_INT8)),
        at_least=True,
    ),
    Goal("process start to answer, int8, multiple of a bare script", 1.5, "x", _process_ratio),
    Goal("peak memory of `identify` on one clip, int8", 120, "MB", _peak_megabytes),
    Goal(
        "clips/s from files, share of what decoding and the session allow together",
        *(95, "%", _files_percent),
        at_least=True,
    ),
    Goal("wheel and runtime installed, no torch", 200, "MB", _installed_megabytes),
    Goal(
        "clips/s of training, 224 pixels, multiple of the seed's trainer",
        *(2, "x", _training_ratio),
        at_least=True,
    ),
)
