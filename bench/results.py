"""The shape of bench/results.json and bench/records.json, and how results are read and written.

The results hold the machine, the subject, and in ``figures`` the entries of each suite: what was
varied (device, batch, threads), and in the entry's own ``figures`` what was measured, by
contestant. A suite leaves its entries in pytest-benchmark's ``extra_info``.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from voxedge.metrics import IntervalDict


class Network(TypedDict):
    """What identifies a network of the benchmarks."""

    trunk: str
    width: float
    image_size: int  # pixels of a side


class Accuracy(TypedDict):
    """How often the best answer, and one of the best five, is right."""

    top1: IntervalDict
    top5: IntervalDict


class FileAccuracy(Accuracy):
    """The accuracy of one exported file."""

    clips: int
    file_bytes: int


class Record(Network):
    """A trained network, and its accuracy in each precision."""

    corpus: str
    speakers: int
    epochs: int
    train_seconds: float
    precisions: dict[str, FileAccuracy]


class TrainedNetwork(Network):
    """How a network that is measured was trained."""

    recipe: str
    init: str  # of its weights
    window_seconds: float
    epochs: int
    train_seconds: float


class Subject(TypedDict):
    """What is measured."""

    corpus: str
    speakers: int
    file_bytes: dict[str, int]  # of the exported files
    model: TrainedNetwork
    seed: TrainedNetwork


class Machine(TypedDict):
    """Processor, memory, system and versions."""

    processor: str
    architecture: str
    cores: int
    instructions: list[str]
    memory_bytes: int
    gpu: str
    system: str
    python: str
    versions: dict[str, str]


class Installed(TypedDict, total=False):
    """The size of an installation, or why it is not known."""

    bytes: int
    packages: dict[str, int]  # bytes
    missing: str


class Timing(TypedDict):
    """The trials of one contestant, in order of the turns, and their quartiles; seconds."""

    median: float
    low: float
    high: float
    seconds: list[float]


class ProcessTiming(Timing):
    """Trials that are processes."""

    peak_bytes: int


class NetworkTiming(Timing, Network):
    """Trials of a network in a precision."""

    precision: str
    file_bytes: int


class Latency(TypedDict):
    """An entry of the suite ``latency``."""

    device: str
    batch: int
    threads: int
    missing: dict[str, str]  # why a contestant did not run
    figures: dict[str, Timing]


class Ceiling(TypedDict):
    """An entry of the suite ``ceiling``."""

    device: str
    threads: int
    multiply_adds: int  # of the bare trunk, for one image
    ceiling: dict[str, float]  # precision -> operations a second
    figures: dict[str, Timing]


class Process(TypedDict):
    """An entry of the suite ``process``."""

    device: str
    figures: dict[str, ProcessTiming]


class Files(TypedDict):
    """An entry of the suite ``files``."""

    device: str
    precision: str
    clips: int
    different: int
    windows: int
    figures: dict[str, Timing]


class Places(TypedDict):
    """An entry of the suite ``places``."""

    device: str
    precision: str
    threads: int
    missing: dict[str, str]
    figures: dict[str, Timing]


class Cost(TypedDict):
    """What one process took for so many clips, seconds or classes."""

    amount: int
    seconds: float
    peak_bytes: int
    file_bytes: NotRequired[int]


class Growth(TypedDict):
    """An entry of the suite ``growth``."""

    device: str
    of: str  # clips, seconds or classes
    figures: list[Cost]


class Agreement(TypedDict):
    """How often two contestants give the same best answer, and the same five."""

    of: list[str]
    top1: float
    top5: float


class Difference(TypedDict):
    """The largest difference of a probability between two contestants."""

    of: list[str]
    probability: float


class Comparison(TypedDict):
    """What ``parity`` measures."""

    accuracy: dict[str, Accuracy]
    agreement: list[Agreement]
    difference: list[Difference]


class Parity(TypedDict):
    """An entry of the suite ``parity``."""

    device: str
    clips: int
    windows: int
    figures: Comparison


class Sizes(TypedDict):
    """An entry of the suite ``sizes``."""

    device: str
    figures: dict[str, NetworkTiming]


class Training(TypedDict):
    """An entry of the suite ``training``."""

    device: str
    pixels: int
    batch: int
    figures: dict[str, Timing]


class Suites(TypedDict, total=False):
    """The entries of each suite that ran."""

    ceiling: list[Ceiling]
    files: list[Files]
    growth: list[Growth]
    latency: list[Latency]
    parity: list[Parity]
    places: list[Places]
    process: list[Process]
    sizes: list[Sizes]
    training: list[Training]


class Results(TypedDict):
    """Everything that one run of the benchmarks measured."""

    machine: Machine
    subject: Subject
    quick: bool
    rounds: int
    seconds: int
    others_percent: float  # of the processors, taken by other programs
    skipped: list[str]  # sentences
    installed: Installed
    figures: Suites
    records: list[Record]


def read_suites(path: Path) -> Suites:
    """The entries that the suites left in pytest-benchmark's file."""
    suites: defaultdict[str, list[Any]] = defaultdict(list)
    for entry in json.loads(path.read_text())["benchmarks"]:
        info = entry["extra_info"]
        suites[info.pop("suite")].append(info)
    return cast(Suites, dict(suites))


def to_json(results: Results) -> str:
    """JSON with one value a line, but lists of numbers on a line of their own."""
    numbers = re.compile(r"\[[-+.\de,\s]+\]")
    text = json.dumps(results, indent=1)
    return numbers.sub(lambda found: " ".join(found[0].split()), text) + "\n"
