"""Graphs whose inputs, outputs or sizes are not those of a model file, or that fail when run."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.faults.check import model_refused, voxedge
from tests.faults.conftest import CLEAN
from tests.faults.make import LABELS, TEXT, Change, sealed, small_graph, small_model, wav
from voxedge import Identifier
from voxedge.errors import ModelError


def value(name: str, kind: int, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def renamed(old: str, new: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        graph = model.graph
        for entry in (*graph.input, *graph.output, *graph.initializer):
            entry.name = new if entry.name == old else entry.name
        for node in graph.node:
            for names in (node.input, node.output):
                names[:] = [new if name == old else name for name in names]

    return change


def cast_first(kind: int, *shape: str) -> Change:
    """``pcm`` of another type or rank, and the graph made to work with it."""

    def change(model: onnx.ModelProto) -> None:
        renamed("pcm", "inner")(model)
        model.graph.input[0].CopyFrom(value("pcm", kind, *shape))
        nodes = [helper.make_node("Cast", ["pcm"], ["cast"], to=TensorProto.FLOAT)]
        nodes.append(helper.make_node("Flatten", ["cast"], ["inner"]))
        for node in reversed(nodes):
            model.graph.node.insert(0, node)

    return change


def cast_last(name: str, kind: int) -> Change:
    """An output of another type."""

    def change(model: onnx.ModelProto) -> None:
        renamed(name, "inner")(model)
        model.graph.node.append(helper.make_node("Cast", ["inner"], [name], to=kind))
        (output,) = (o for o in model.graph.output if o.name == "inner")
        output.name = name
        output.type.tensor_type.elem_type = kind

    return change


def without_output(name: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        kept = [output for output in model.graph.output if output.name != name]
        del model.graph.output[:]
        model.graph.output.extend(kept)

    return change


def required_lengths(model: onnx.ModelProto) -> None:
    kept = [tensor for tensor in model.graph.initializer if tensor.name != "lengths"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def constant_lengths(model: onnx.ModelProto) -> None:
    del model.graph.input[1]


INTERFACE: dict[str, tuple[Change, tuple[str, ...]]] = {
    "input of another name": (renamed("pcm", "audio"), ("pcm float32 [batch, samples]", "'audio'")),
    "input of integers": (
        cast_first(TensorProto.INT16, "batch", "samples"),
        ("pcm float", "tensor(int16)"),
    ),
    "input of three dimensions": (
        cast_first(TensorProto.FLOAT, "batch", "channels", "samples"),
        ("[batch, samples]", "'tensor(float)', 3"),
    ),
    "one input more": (
        lambda m: m.graph.input.append(value("more", TensorProto.FLOAT, 1)),
        ("expected pcm", "'more'"),
    ),
    "lengths that must be given": (required_lengths, ("optional lengths", "'lengths'")),
    "lengths that cannot be given": (constant_lengths, ("optional lengths", "found")),
    "no embedding": (without_output("embedding"), ("embedding should be", "missing")),
    "no probabilities": (without_output("probabilities"), ("probabilities should be", "missing")),
    "output of another name": (renamed("logits", "scores"), ("logits should be", "missing")),
    "output of doubles": (
        cast_last("probabilities", TensorProto.DOUBLE),
        ("probabilities should be float", "missing"),
    ),
}


@pytest.mark.parametrize(("change", "words"), INTERFACE.values(), ids=INTERFACE)
def test_another_interface_is_refused_and_both_are_listed(change, words, path):
    path.write_bytes(small_model(change))
    message = model_refused(path, "the model's (inputs|output)")
    for each in words:
        assert each in message


@pytest.mark.parametrize("classes", [2, 4, 6, 100])
def test_a_label_count_unlike_the_classes_is_refused(classes, path):
    path.write_bytes(sealed(small_graph(classes), TEXT))
    message = model_refused(path, r"should be float \[batch, 5\]")
    assert str(classes) in message


def dims(*numbers: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        (head,) = (t for t in model.graph.initializer if t.name == "head")
        head.dims[:] = numbers

    return change


DIMENSIONS = [(-1, 5), (1, -5), (1 << 40, 5), (1 << 62, 1 << 62), (1, 1 << 63 - 1), (0, 5), ()]


@pytest.mark.parametrize("numbers", DIMENSIONS, ids=str)
def test_huge_and_negative_dimensions_of_weights_are_refused(numbers, path):
    path.write_bytes(small_model(dims(*numbers)))
    model_refused(path)


def output_width(number: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        for entry in model.graph.output:
            entry.type.tensor_type.shape.dim[1].dim_value = number

    return change


@pytest.mark.parametrize("number", [0, 1 << 40])
def test_impossible_dimensions_of_the_interface_are_refused(number, path):
    path.write_bytes(small_model(output_width(number)))
    model_refused(path)


def test_a_dimension_of_minus_one_is_inferred(path):
    """ONNX Runtime does so; the outputs are compared with the metadata all the same."""
    path.write_bytes(small_model(output_width(-1)))
    assert Identifier(path, any_sound=True).identify(CLEAN).speaker in LABELS


def frozen_input(model: onnx.ModelProto) -> None:
    for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 1_000), strict=True):
        dim.dim_value = size


def one_row_too_many(model: onnx.ModelProto) -> None:
    renamed("probabilities", "inner")(model)
    model.graph.node.append(
        helper.make_node("Concat", ["inner", "inner"], ["probabilities"], axis=0)
    )
    model.graph.output[1].name = "probabilities"


def petabytes(model: onnx.ModelProto) -> None:
    """Allocated only at run time: the shape comes from the input."""
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array([1 << 40]), "many"))
    graph.node.append(helper.make_node("Shape", ["pcm"], ["shape"]))
    graph.node.append(helper.make_node("Mul", ["shape", "many"], ["huge"]))
    graph.node.append(helper.make_node("ConstantOfShape", ["huge"], ["filled"]))
    graph.node.append(helper.make_node("ReduceMax", ["filled"], ["peak"], keepdims=0))
    renamed("logits", "inner")(model)
    graph.node.append(helper.make_node("Add", ["inner", "peak"], ["logits"]))
    graph.output[0].name = "logits"


@pytest.mark.parametrize("change", [frozen_input, one_row_too_many, petabytes])
def test_a_graph_that_fails_when_it_runs_is_a_named_error(change, path):
    path.write_bytes(small_model(change))
    with pytest.raises(ModelError) as caught:
        Identifier(path, any_sound=True).identify(CLEAN)
    assert caught.value.code == "model_refused"


def test_the_runtimes_errors_cannot_control_a_terminal(path, tmp_path):
    """It would log the names of nodes unescaped, in red."""

    def change(model: onnx.ModelProto) -> None:
        petabytes(model)
        for node in model.graph.node:
            node.name = f"\x1b]0;{node.output[0]}\x07"

    path.write_bytes(small_model(change))
    (tmp_path / "clip.wav").write_bytes(wav(CLEAN))
    done = voxedge("clip.wav", cwd=tmp_path, model=path)
    assert done.returncode == 4
    assert done.stdout == b""
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("error: ONNX Runtime cannot run the model")
    assert line.isprintable()
