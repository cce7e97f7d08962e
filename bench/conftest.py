"""What the suites share: the options of ``python -m bench``, and what it has prepared."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.contestants import Answer, contestants
from bench.prepare import BUILD, Clips, Material, cut_clips


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
def contestants_on(material: Material) -> Callable[[str], dict[str, Answer]]:
    """The contestants on a device, loaded once."""
    loaded: dict[str, dict[str, Answer]] = {}

    def on(device: str) -> dict[str, Answer]:
        if device not in loaded:
            loaded[device] = contestants(material, device)
        return loaded[device]

    return on
