"""The wheel, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.wheels import build_wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this clone."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))
