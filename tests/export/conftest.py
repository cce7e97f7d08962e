"""What several tests of the export share."""

from __future__ import annotations

import pytest
from voxedge.export.pipeline import export_run

from voxedge.train.run import find_run


@pytest.fixture(scope="session")
def int8(workshop, tmp_path_factory):
    """The workshop's run, exported to int8."""
    path = tmp_path_factory.mktemp("int8") / "model.onnx"
    return export_run(find_run(workshop / "runs"), path, precision="int8")
