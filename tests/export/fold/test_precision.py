"""Folded networks in lower precision, and what refuses them."""

from __future__ import annotations

import numpy as np
import pytest
from voxedge.export.fold import precision
from voxedge.export.fold.clips import Clips, synthetic_clips
from voxedge.export.fold.compose import read_network
from voxedge.export.fold.frontends import KaldiSettings
from voxedge.export.fold.pipeline import fold_network

from tests.conftest import RATE, voice, write_corpus
from tests.export.fold.conftest import convolutions
from voxedge.cli.app import run
from voxedge.errors import CorpusError, ParityError, UsageError
from voxedge.inference.identifier import Identifier

FEW = Clips(synthetic_clips(RATE).samples[:2], "synthetic")


def folded(tmp_path, wanted, data, say=lambda _: None):
    network = read_network(convolutions(tmp_path / "net.onnx"))
    options = {"window_seconds": 1.0, "clips": FEW, "precision": wanted, "data": data, "say": say}
    return fold_network(network, KaldiSettings(), tmp_path / f"{wanted}.onnx", **options)


@pytest.mark.parametrize("wanted", ["int8", "fp16"])
def test_a_lower_precision_is_measured(tmp_path, corpus_folder, capsys, wanted):
    folded(tmp_path, "fp32", None)
    done = folded(tmp_path, wanted, corpus_folder)
    accuracy = done.metadata.parity["accuracy"]
    assert done.metadata.precision == wanted
    assert (accuracy["speakers"], accuracy["clips"]) == (4, 16)
    assert accuracy["cosine"] >= 0.98
    assert len(accuracy["in_float"]) == (2 if wanted == "int8" else 0)
    x = voice(150, 1.0, 0)[None]
    one, other = (
        Identifier(tmp_path / f"{name}.onnx", device="cpu").run(x).embedding[0]
        for name in ("fp32", wanted)
    )
    assert one @ other > (0.98 if wanted == "int8" else 0.9999)
    assert not np.array_equal(one, other)
    assert run(["inspect", str(tmp_path / f"{wanted}.onnx")]) == 0
    assert "cosine to float32" in capsys.readouterr().out


def test_layers_to_blame_stay_in_float_and_then_there_is_no_file(
    tmp_path, corpus_folder, monkeypatch
):
    monkeypatch.setattr(precision, "MEAN_COSINE", 1.1)
    lines: list[str] = []
    with pytest.raises(ParityError, match="no file written: cosine to float32"):
        folded(tmp_path, "int8", corpus_folder, lines.append)
    assert not (tmp_path / "int8.onnx").exists()
    assert any("looking for the layers to blame" in line for line in lines)


def test_names_that_are_lost_count():
    loss = precision.EmbeddingLoss("int8", 200, 50, 0.99, 0.9, (200, 199))
    assert loss.passed
    assert not precision.EmbeddingLoss("int8", 200, 50, 0.99, 0.9, (200, 198)).passed
    assert not precision.EmbeddingLoss("int8", 200, 50, 0.97, 0.9, (200, 200)).passed
    assert loss.summary()["lowered"] == 0.995


def test_a_lower_precision_needs_clips(tmp_path):
    with pytest.raises(UsageError, match="calibrated and measured on clips"):
        folded(tmp_path, "int8", None)
    lonely = write_corpus(tmp_path / "data", clips=1)
    with pytest.raises(CorpusError, match="two usable clips each"):
        folded(tmp_path, "int8", lonely)


def test_every_second_clip_is_enrolled(corpus_folder):
    clips = precision.labelled_windows(corpus_folder, 8_000, RATE)
    assert clips.enrolled_speakers == clips.asked_speakers
    assert {len(part) for part in clips.asked} == {8_000}
    assert not any(np.array_equal(a, b) for a, b in zip(clips.enrolled, clips.asked, strict=True))
