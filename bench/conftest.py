"""What the suites share: the options of ``python -m bench``, and what it has prepared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import torch

from bench.clips import Windows, held_out_windows
from bench.contestants import Answer, contestants
from bench.prepare import Prepared

Loaded: TypeAlias = tuple[dict[str, Answer], dict[str, str]]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("voxedge's benchmarks")
    group.addoption("--rounds", type=int, default=7, help="Turns that are timed.")
    group.addoption("--device", action="append", help="cpu or cuda; may be given again.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", metafunc.config.getoption("device") or ["cpu"])


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest) -> int:
    return request.config.getoption("rounds")


@pytest.fixture(scope="session")
def prepared() -> Prepared:
    try:
        return Prepared.load()
    except FileNotFoundError:
        raise pytest.UsageError("nothing is prepared yet: python -m bench") from None


@pytest.fixture(scope="session")
def windows(prepared: Prepared) -> Windows:
    return held_out_windows(prepared.run)


@pytest.fixture(scope="session")
def device_model(prepared: Prepared) -> Path:
    """The file for a device: int8, or float32 where the exporter refused to write that."""
    return prepared.file("fp32" if "int8" in prepared.refused else "int8")


@pytest.fixture(scope="session")
def contestants_on(prepared: Prepared) -> Callable[[str, int], Loaded]:
    """The contestants on a device with so many threads, and which are missing; loaded once."""
    loaded: dict[tuple[str, int], Loaded] = {}

    def on(device: str, threads: int) -> Loaded:
        if (device, threads) not in loaded:
            loaded[device, threads] = contestants(prepared, device, threads)
        torch.set_num_threads(threads)
        return loaded[device, threads]

    return on
