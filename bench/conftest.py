"""What the suites share: the options of ``python -m bench``, and what it has prepared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import torch

from bench.contestants import Answer, contestants
from bench.prepare import BUILD, Clips, Material, cut_clips

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
def material() -> Material:
    path = BUILD / "material.json"
    if not path.is_file():
        raise pytest.UsageError("nothing is prepared yet: python -m bench")
    return Material.load(path)


@pytest.fixture(scope="session")
def clips(material: Material) -> Clips:
    return cut_clips(material.run)


@pytest.fixture(scope="session")
def product(material: Material) -> Path:
    """What a device is given: the int8 file, or the float32 one where the exporter refused it."""
    return material.file("fp32" if "int8" in material.refused else "int8")


@pytest.fixture(scope="session")
def contestants_on(material: Material) -> Callable[[str, int], Loaded]:
    """The contestants on a device with so many threads, and which are missing; loaded once."""
    loaded: dict[tuple[str, int], Loaded] = {}

    def on(device: str, threads: int) -> Loaded:
        if (device, threads) not in loaded:
            loaded[device, threads] = contestants(material, device, threads)
        torch.set_num_threads(threads)
        return loaded[device, threads]

    return on
