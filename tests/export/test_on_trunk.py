"""The model file of a run on top of a model file: one graph, verified, with the trunk's origin."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
import torch
from voxedge.export import on_trunk, parity, pipeline
from voxedge.export.on_trunk import precision_on_trunk
from voxedge.export.pipeline import export_run
from voxedge.export.serialise import serialise

from tests.conftest import RATE, SPEAKERS, voice
from tests.pretrained import recipe_on, train_on
from voxedge.data.corpus import load_corpus
from voxedge.data.manifest import read_manifest
from voxedge.errors import ParityError, UsageError
from voxedge.inference.identifier import Identifier
from voxedge.train.trained import TrainedModel, load_exported


@pytest.fixture(scope="module")
def run(tmp_path_factory, corpus_folder, trunk_path):
    corpus = load_corpus(read_manifest(corpus_folder), RATE, memory=1 << 30)
    return train_on(tmp_path_factory.mktemp("runs") / "run", corpus, recipe_on(trunk_path))[0]


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    return export_run(run, tmp_path_factory.mktemp("export") / "model.onnx")


def test_the_file_answers_as_the_run_does(run, exported):
    clips = [(name, voice(pitch, 1.3, 55)) for name, pitch in SPEAKERS.items()]
    ours = list(TrainedModel(run, "cpu").score(clips))
    theirs = list(Identifier(exported.path, device="cpu").score(clips))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-4)
        np.testing.assert_allclose(a.embedding, b.embedding, atol=1e-5)
    trunk = list(Identifier(run.trunk, device="cpu").score(clips))
    for a, b in zip(trunk, theirs, strict=True):  # the embedding is the trunk's own
        np.testing.assert_allclose(a.embedding, b.embedding, atol=1e-5)


def test_the_file_has_the_outputs_of_every_other_and_is_one(exported):
    model = onnx.load(exported.path)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.output] == ["logits", "probabilities", "embedding"]
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert {value.name for value in model.graph.input} == {"pcm", "lengths"}
    assert len(model.metadata_props) == 1
    whole = Identifier(exported.path, device="cpu").run(voice(150, 0.5, 1)[None])
    given = Identifier(exported.path, device="cpu").run(voice(150, 0.5, 1)[None], np.array([8_000]))
    np.testing.assert_array_equal(whole.logits, given.logits)  # lengths may be left out


def test_licence_source_and_front_end_are_those_of_the_trunk(run, exported, tmp_path):
    metadata = exported.metadata
    assert (metadata.licence, metadata.source) == ("MIT", "a paper")
    assert metadata.schema == 1
    assert metadata.labels == run.labels()
    assert metadata.frontend["name"] == "kaldi-fbank"
    assert metadata.training["recipe"]["model"]["trunk"] == "net.onnx"  # and not its folder
    own = export_run(run, tmp_path / "own.onnx", licence="mine")
    assert own.metadata.licence == "mine"
    again = export_run(run, tmp_path / "again.onnx")
    assert again.path.read_bytes() == exported.path.read_bytes()


def test_a_head_that_differs_is_refused(run, tmp_path, monkeypatch):
    """Near misses: a weight of the graph is off by little, but by too much."""
    real = on_trunk._trace_head

    def slightly_off(head, embedding_dim):
        other = copy.deepcopy(head)
        with torch.no_grad():
            other.net.neck.bias += 0.02
        return real(other, embedding_dim)

    monkeypatch.setattr(on_trunk, "_trace_head", slightly_off)
    with pytest.raises(ParityError, match="logits differ"):
        export_run(run, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_logits_of_the_graph_are_pytorchs(run):
    net = load_exported(run, torch.device("cpu"))
    model = pipeline._traced(run, net, pipeline.PASSES)
    rows = parity.measure(net, serialise(model), [voice(150, 0.8, 3), voice(205, 0.4, 4)])
    assert all(row.passed for row in rows)
    assert max(row.logits for row in rows) < 1e-3


def test_int8_is_measured_and_keeps_the_first_and_last_layer(run, tmp_path):
    done = export_run(run, tmp_path / "int8.onnx", precision="int8")
    assert done.metadata.precision == "int8"
    assert done.accuracy.in_float[:2] == ("network/c0", "network/c2")
    assert done.accuracy.passed
    operators = [node.op_type for node in onnx.load(done.path).graph.node]
    assert "QuantizeLinear" in operators


def test_a_trunk_in_int8_stays_so():
    assert precision_on_trunk("fp32", "int8") == "int8"
    assert precision_on_trunk("int8", "fp32") == "int8"
    assert precision_on_trunk("int8", "int8") == "int8"
    with pytest.raises(UsageError, match="int8 already"):
        precision_on_trunk("int8", "fp16")
