"""``voxedge inspect``."""

from __future__ import annotations

from tests.conftest import SPEAKERS, records, voxedge


def test_inspect_for_people_and_programs(workshop):
    shown = voxedge("inspect", cwd=workshop).stdout
    for word in ("ada, ben, cleo, dan", "16000 Hz", "parity", "test top1", "digest"):
        assert word in shown
    (facts,) = records(voxedge("inspect", "model.onnx", "--json", cwd=workshop).stdout)
    assert facts["labels"] == list(SPEAKERS)
    assert facts["bytes"] == (workshop / "model.onnx").stat().st_size
    assert facts["parity"]["top1"] == 1.0
