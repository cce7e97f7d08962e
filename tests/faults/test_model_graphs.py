"""Graphs that must not reach ONNX Runtime: they open files, run for ever, or exhaust a reader.

The files are sealed with a correct digest: only the graph is wrong.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.faults.check import model_refused
from tests.faults.make import TEXT, Change, field, small_graph, small_model, varint
from voxedge.errors import ModelError
from voxedge.model_file.metadata import DIGEST_BLANK, KEY
from voxedge.model_file.reader import read_model
from voxedge.model_file.seal import digest


def outside(location: str, flag: bool = True, offset: int = 0) -> TensorProto:
    """A tensor whose values lie in another file; ``flag`` sets data_location."""
    tensor = numpy_helper.from_array(np.zeros((1, 5), np.float32), "outside")
    tensor.ClearField("raw_data")
    if flag:
        tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": str(offset), "length": "20"}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def constant(tensor: TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["unused"], value=tensor)


def within_if(tensor: TensorProto) -> onnx.NodeProto:
    """A tensor among the initialisers of a branch."""
    branch = helper.make_graph([], "branch", [], [], [tensor])
    return helper.make_node("Gemm", ["a"], ["b"], branch=branch)


def function_of(tensor: TensorProto) -> onnx.FunctionProto:
    opset = helper.make_opsetid("", 18)
    return helper.make_function("ai.onnx", "F", [], ["unused"], [constant(tensor)], [opset])


def sparse(tensor: TensorProto) -> onnx.SparseTensorProto:
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "indices")
    return onnx.SparseTensorProto(values=tensor, indices=indices, dims=[5])


EXTERNAL: dict[str, Change] = {
    "parent folder": lambda m: m.graph.initializer.append(outside("../secret")),
    "absolute path": lambda m: m.graph.initializer.append(outside("/etc/passwd")),
    "beside the model": lambda m: m.graph.initializer.append(outside("weights.bin")),
    "huge offset": lambda m: m.graph.initializer.append(outside("weights.bin", offset=1 << 62)),
    "without the flag": lambda m: m.graph.initializer.append(outside("/etc/passwd", flag=False)),
    "flag alone": lambda m: m.graph.initializer.append(
        TensorProto(name="x", dims=[5], data_type=1, data_location=TensorProto.EXTERNAL)
    ),
    "in an attribute": lambda m: m.graph.node.append(constant(outside("../secret"))),
    "in a list of attributes": lambda m: m.graph.node.append(
        helper.make_node("Gemm", ["a"], ["b"], many=[outside("../secret")] * 2)
    ),
    "in a subgraph": lambda m: m.graph.node.append(within_if(outside("../secret"))),
    "in a list of subgraphs": lambda m: m.graph.node.append(
        helper.make_node(
            *("Gemm", ["a"], ["b"]),
            graphs=[helper.make_graph([], "g", [], [], [outside("../secret")])],
        )
    ),
    "in a sparse tensor": lambda m: m.graph.sparse_initializer.append(sparse(outside("../x"))),
    "in a function": lambda m: m.functions.append(function_of(outside("../secret"))),
    "in the training graph": lambda m: m.training_info.add().algorithm.initializer.append(
        outside("../secret")
    ),
}


@pytest.mark.parametrize("change", EXTERNAL.values(), ids=EXTERNAL)
def test_tensors_outside_the_file_are_refused_before_the_runtime_sees_them(change, path):
    path.write_bytes(small_model(change))
    with pytest.raises(ModelError, match="outside the file"):
        read_model(path)


def test_a_link_to_the_data_of_another_is_refused_too(path, tmp_path):
    (tmp_path / "weights.bin").symlink_to("/etc/passwd")
    path.write_bytes(small_model(EXTERNAL["beside the model"]))
    model_refused(path, "outside the file")


@pytest.mark.parametrize("hidden", [1 << 32, 1 << 34])
def test_fields_hidden_by_the_upper_bits_of_a_tag_are_refused(hidden, path):
    """Protobuf drops the bits of a tag above 32: ONNX Runtime would open ``secret``."""
    tensor = outside("secret")
    entry = tensor.external_data[0].SerializeToString()
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")
    body = tensor.SerializeToString() + field(13 << 3 | 2 | hidden, entry)
    body += varint(14 << 3 | hidden) + b"\x01"
    graph = field(7 << 3 | 2, field(5 << 3 | 2, body))
    model = small_graph()
    model.metadata_props.add(key=KEY, value=TEXT)
    path.write_bytes(sealed_by_hand(model.SerializeToString() + graph))
    model_refused(path, "field number")


def sealed_by_hand(data: bytes) -> bytes:
    """Bytes with a correct digest, which ``seal`` would refuse to read."""
    start = data.index(TEXT.encode())
    blank = b'"digest":"' + DIGEST_BLANK.encode()
    real = digest(data, start, start + len(TEXT), DIGEST_BLANK)
    return data.replace(blank, blank[:10] + real.encode())


def loop() -> onnx.NodeProto:
    """An endless one."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, [])],
        [value("on", TensorProto.BOOL, [])],
    )
    return helper.make_node("Loop", ["", "yes"], [], body=body)


def branch(operator: str) -> onnx.NodeProto:
    empty = helper.make_graph([], "empty", [], [])
    return helper.make_node(operator, ["x"], ["y"], then_branch=empty, else_branch=empty)


def nested_loop() -> onnx.NodeProto:
    outer = helper.make_graph([loop()], "outer", [], [])
    return helper.make_node("Gemm", ["a"], ["b"], hidden=outer)


def loop_function() -> onnx.FunctionProto:
    opset = helper.make_opsetid("", 18)
    return helper.make_function("ai.onnx", "F", ["yes"], [], [loop()], [opset])


def opset(version: int, domain: str = "") -> Change:
    def change(model: onnx.ModelProto) -> None:
        if domain == "":
            del model.opset_import[:]
        model.opset_import.append(helper.make_opsetid(domain, version))

    return change


FORBIDDEN: dict[str, tuple[Change, str]] = {
    "an endless Loop": (lambda m: m.graph.node.append(loop()), "control flow"),
    "a Loop in an attribute": (lambda m: m.graph.node.append(nested_loop()), "control flow"),
    "a Loop in a function": (lambda m: m.functions.append(loop_function()), "control flow"),
    "If": (lambda m: m.graph.node.append(branch("If")), "control flow"),
    "Scan": (lambda m: m.graph.node.append(branch("Scan")), "control flow"),
    "SequenceMap": (lambda m: m.graph.node.append(branch("SequenceMap")), "control flow"),
    "operators of someone": (opset(1, "com.example"), "com.example"),
    "operators of Microsoft": (opset(1, "com.microsoft"), "com.microsoft"),
    "opset 99": (opset(99), "opset 99"),
    "opset 0": (opset(0), "opset"),
    "opset -1": (opset(-1), "opset"),
    "no opset": (lambda m: m.ClearField("opset_import"), "opset"),
    "IR version 99": (lambda m: setattr(m, "ir_version", 99), "IR version 99"),
}


@pytest.mark.parametrize(("change", "message"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_operators_that_could_run_for_ever_or_run_anything_are_refused(change, message, path):
    path.write_bytes(small_model(change))
    with pytest.raises(ModelError, match=message):
        read_model(path)


def test_an_operator_of_an_undeclared_domain_is_refused(path):
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[0].domain = "com.example"

    path.write_bytes(small_model(change))
    model_refused(path)


def test_files_made_to_exhaust_a_reader_are_refused_at_once(path):
    path.write_bytes(field(7 << 3 | 2, b"\x0a\x00" * 5_000_000))  # five million empty nodes
    model_refused(path, "more than .* fields")
    nested = b""
    for _ in range(2_000):
        nested = field(1 << 3 | 2, field(5 << 3 | 2, field(6 << 3 | 2, nested)))
    path.write_bytes(field(7 << 3 | 2, nested))
    model_refused(path, "nested too deep")
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)  # a hole
    model_refused(path, "bytes")
