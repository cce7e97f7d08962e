"""Exports that must not become a file: wrong answers, a full disk, a graph that passes broke."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from voxedge.export.passes import PASSES
from voxedge.export.passes.make_lengths_optional import make_lengths_optional
from voxedge.export.passes.tidy import tidy
from voxedge.export.pipeline import export_run

from voxedge.errors import ParityError
from voxedge.train.run import Run, find_run


@pytest.fixture(scope="module")
def run(workshop) -> Run:
    return find_run(workshop / "runs")


def test_the_same_run_exported_twice_gives_identical_bytes(run, model_path, tmp_path):
    export_run(run, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == model_path.read_bytes()


def test_parity_beyond_tolerance_writes_nothing_and_says_by_how_much(run, tmp_path):
    def shift_bias(model: ir.Model) -> bool:
        node = next(n for n in model.graph if n.op_type == "Conv" and len(n.inputs) == 3)
        bias = node.inputs[2]
        bias.const_value = ir.tensor(bias.const_value.numpy() + np.float32(0.5))
        return True

    path = tmp_path / "model.onnx"
    path.write_bytes(b"the old one")
    with pytest.raises(ParityError, match=r"logits differ by \d"):
        export_run(run, path, passes=(*PASSES, shift_bias))
    assert path.read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_a_full_disk_leaves_the_old_model(run, tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the old one")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("voxedge.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        export_run(run, path)
    assert path.read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_every_pass_does_nothing_the_second_time(model_path):
    model = ir.from_proto(onnx.load(model_path))
    model.metadata_props.clear()
    assert [apply(model) for apply in PASSES] == [False] * len(PASSES)


def lengths_graph(name: str = "lengths", *, has_default: bool = False) -> ir.Model:
    """y = pcm limited to ``lengths``, whose default the pass would add."""
    value = helper.make_tensor_value_info
    default = [numpy_helper.from_array(np.array([9]), name)] if has_default else []
    graph = helper.make_graph(
        [
            helper.make_node("Cast", [name], ["limit"], to=TensorProto.FLOAT),
            helper.make_node("Min", ["pcm", "limit"], ["y"]),
        ],
        "lengths",
        [
            value("pcm", TensorProto.FLOAT, ["batch", "samples"]),
            value(name, TensorProto.INT64, [1]),
        ],
        [value("y", TensorProto.FLOAT, None)],
        default,
    )
    opset = helper.make_opsetid("", 18)
    return ir.from_proto(helper.make_model(graph, opset_imports=[opset], ir_version=10))


@pytest.mark.parametrize(
    "near_miss",
    [{"name": "length"}, {"has_default": True}],
    ids=["an input of another name", "a default already"],
)
def test_make_lengths_optional_leaves_near_misses_alone(near_miss):
    assert make_lengths_optional(lengths_graph())
    model = lengths_graph(**near_miss)
    before = ir.to_proto(model).SerializeToString()
    assert not make_lengths_optional(model)
    assert ir.to_proto(model).SerializeToString() == before


def test_tidy_leaves_all_that_computes_alone():
    model = lengths_graph(has_default=True)
    tidy(model)
    before = ir.to_proto(model).SerializeToString()
    assert not tidy(model)
    assert ir.to_proto(model).SerializeToString() == before
    assert "lengths" in model.graph.initializers  # nothing but an input's default
