"""Repositories of Triton's server: parsed by Triton's own message, and compared with the graph."""

from __future__ import annotations

import filecmp

import onnxruntime
import pytest
from voxedge.export.input_format import InputFormat
from voxedge.export.pipeline import export_run
from voxedge.export.triton import config, labels, model_name, write_triton

from tests.conftest import RATE, SPEAKERS
from voxedge.errors import UsageError
from voxedge.model_file.metadata import Metadata
from voxedge.train.run import find_run

TYPES = {"tensor(float)": "TYPE_FP32", "tensor(int16)": "TYPE_INT16", "tensor(int32)": "TYPE_INT32"}


def parse(text):
    """A configuration as Triton's message; a field that it does not know is an error."""
    pb2 = pytest.importorskip(
        "tritonclient.grpc.model_config_pb2",
        reason="pip install --no-deps tritonclient python-rapidjson: Triton's ModelConfig",
        exc_type=(ImportError, RuntimeError),
    )
    from google.protobuf import text_format

    return pb2, text_format.Parse(text, pb2.ModelConfig())


def check_tensors(pb2, found, model):
    """Every input and output of the graph is configured, with its type and its dimensions."""
    session = onnxruntime.InferenceSession(model)
    configured = {t.name: pb2.DataType.Name(t.data_type) for t in found.input}
    configured |= {b.target_name[0]: pb2.DataType.Name(b.data_type) for b in found.batch_input}
    assert configured == {value.name: TYPES[value.type] for value in session.get_inputs()}
    outputs = {t.name: (list(t.dims), pb2.DataType.Name(t.data_type)) for t in found.output}
    assert outputs == {
        value.name: (list(value.shape[1:]), TYPES[value.type]) for value in session.get_outputs()
    }


def test_the_padded_form_is_batched_by_length(model_path, tmp_path):
    folder = write_triton(model_path, tmp_path / "models")
    assert folder == tmp_path / "models" / "model"
    assert filecmp.cmp(model_path, folder / "1" / "model.onnx", shallow=False)
    assert (folder / "labels.txt").read_text().split() == sorted(SPEAKERS)
    pb2, found = parse((folder / "config.pbtxt").read_text())
    check_tensors(pb2, found, model_path)
    assert found.name == folder.name
    assert found.backend == "onnxruntime"
    assert found.max_batch_size > 1
    assert found.HasField("dynamic_batching")
    assert not found.input[0].allow_ragged_batch
    assert not found.batch_input
    (named,) = [output for output in found.output if output.label_filename]
    assert (named.name, named.label_filename) == ("probabilities", "labels.txt")
    again = write_triton(model_path, tmp_path / "models")  # replaces it
    assert sorted(path.name for path in again.iterdir()) == ["1", "config.pbtxt", "labels.txt"]


def test_the_ragged_form_is_batched_by_counts(workshop, tmp_path):
    model = tmp_path / "ragged.onnx"
    input_format = InputFormat(RATE, "int16", ragged=True)
    export_run(find_run(workshop / "runs"), model, input_format=input_format)
    pb2, found = parse((write_triton(model, tmp_path) / "config.pbtxt").read_text())
    check_tensors(pb2, found, model)
    assert list(found.input[0].dims) == [-1]
    assert found.input[0].allow_ragged_batch
    (counts,) = found.batch_input
    assert counts.kind == pb2.BatchInput.BATCH_ELEMENT_COUNT
    assert list(counts.source_input) == ["pcm"]


def test_a_file_of_embeddings_has_no_labels():
    _, found = parse(config(Metadata((), RATE, 1.0, 0.1, 8, 1.0, schema=2), "net"))
    assert [(output.name, list(output.dims)) for output in found.output] == [("embedding", [8])]
    assert not found.output[0].label_filename


def test_a_file_with_an_unknown_field_is_refused():
    about = Metadata(("ada", "ben"), RATE, 1.0, 0.1, 8, 1.0, input={"layout": "ragged"})
    with pytest.raises(Exception, match="allow_ragged"):
        parse(config(about, "net").replace("allow_ragged_batch", "allow_ragged"))


def test_names_fit_into_lines_and_urls(tmp_path):
    two_lines = Metadata(("ada\nlovelace", "ben"), RATE, 1.0, 0.1, 8, 1.0)
    assert labels(two_lines) == "ada lovelace\nben\n"
    assert model_name(tmp_path / 'my "best" model.onnx') == "my__best__model"


def test_a_folder_that_cannot_be_made_is_refused(model_path, tmp_path):
    (tmp_path / "models").write_text("a file")
    with pytest.raises(UsageError, match="cannot be made"):
        write_triton(model_path, tmp_path / "models")
