"""``voxedge export``."""

from __future__ import annotations


def test_export_shows_parity(workshop):
    log = (workshop / "export.log").read_text()
    for case in ("clips, batch 1", "clips, batch 7", "shorter than the window", "odd lengths"):
        assert case in log
    assert "model.onnx: 4 speakers" in log
    assert "next: voxedge identify CLIP" in log
