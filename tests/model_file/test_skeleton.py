"""The skeleton equals what the onnx package finds; broken bytes are refused."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from tests.faults.make import metadata, small_graph
from voxedge.model_file.metadata import KEY
from voxedge.model_file.skeleton import WireError, skeleton


def test_the_skeleton_is_what_onnx_finds():
    model = small_graph()
    text = metadata().to_json()
    model.metadata_props.add(key=KEY, value=text)
    model.opset_import.append(helper.make_opsetid("com.example", 7))
    inner = helper.make_graph([helper.make_node("Loop", [], [])], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner))
    data = model.SerializeToString()
    found = skeleton(data)
    assert found.ir_version == model.ir_version
    assert found.opsets == {"": 18, "com.example": 7}
    assert found.operators == {node.op_type for node in model.graph.node} | {"Loop"}
    assert not found.external_data
    ((key, start, end),) = found.metadata
    assert (key, data[start:end]) == (KEY.encode(), text.encode())


def test_external_data_is_found_by_its_flag_or_its_location():
    for tensor in (
        TensorProto(name="x", data_location=TensorProto.EXTERNAL),
        TensorProto(name="x", external_data=[onnx.StringStringEntryProto(key="location")]),
    ):
        model = small_graph()
        model.graph.initializer.append(tensor)
        assert skeleton(model.SerializeToString()).external_data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x08", "does not end"),
        (b"\x08" + b"\xff" * 11, "does not end"),
        (b"\x00\x00", "field number 0"),
        (b"\x3a\x05ab", "runs past"),
        (b"\x0b", "wire type 3"),
        (b"\x09ab", "runs past"),
    ],
)
def test_bytes_that_are_no_message_are_refused(data, message):
    with pytest.raises(WireError, match=message):
        skeleton(data)


def test_an_empty_message_is_an_empty_skeleton():
    found = skeleton(b"")
    assert (found.opsets, found.metadata, found.operators) == ({}, [], set())
