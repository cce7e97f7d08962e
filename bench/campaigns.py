"""What the long campaigns leave behind: bench/fuzz.json and bench/soak.json (docs/campaigns.md)."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from bench.results import Machine

ROOT = Path(__file__).parents[1]
FUZZING, SOAK = (ROOT / "bench" / f"{name}.json" for name in ("fuzz", "soak"))


class FuzzRecord(TypedDict):
    """A campaign of ``python -m bench.fuzz``."""

    date: str
    seconds: int
    executions: dict[str, int]  # by target
    failures: int  # inputs
    machine: Machine


class SoakFigures(TypedDict):
    """Some minutes of one program: its answers, and what it held at the end of each round."""

    seconds: int
    runs: int
    bad_files: int  # of the runs
    wrong: int  # answers that differ from those of a serial run
    mib: tuple[float, float]  # after the warm-up, and at the end
    mib_per_1000_runs: float  # median slope of all pairs of rounds
    descriptors: tuple[int, int]  # least and most, at the ends of rounds
    threads: tuple[int, int]


class SoakRecord(TypedDict):
    """A campaign of ``python -m bench.soak``."""

    date: str
    threads: int
    library: SoakFigures
    service: SoakFigures
    machine: Machine
