"""Small networks in ONNX: what is folded in tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

BANDS, WIDTH = 80, 16


def network(
    path: Path,
    shape: tuple[int | str, ...] = ("batch", "frames", BANDS),
    opset: int = 17,
    inputs: int = 1,
    domain: str = "",
) -> Path:
    """Write ``relu(features) W``, averaged over the frames (or samples, W cut to fit)."""
    bands_first = len(shape) == 3 and shape[1] == BANDS
    raw = shape[-1] != BANDS and not bands_first
    weight = np.random.default_rng(0).normal(size=(1 if raw else BANDS, WIDTH)).astype(np.float32)
    nodes = [helper.make_node("Relu", ["x"], ["rectified"])]
    last = "rectified"
    if bands_first:
        nodes.append(helper.make_node("Transpose", [last], ["turned"], perm=[0, 2, 1]))
        last = "turned"
    constants = [numpy_helper.from_array(weight, "weight")]
    if raw:
        constants.append(numpy_helper.from_array(np.array([0, -1, 1]), "column"))
        nodes.append(helper.make_node("Reshape", [last, "column"], ["column_of"]))
        last = "column_of"
    nodes.append(helper.make_node("MatMul", [last, "weight"], ["mapped"]))
    if opset < 18:
        nodes.append(helper.make_node("ReduceMean", ["mapped"], ["y"], axes=[1], keepdims=0))
    else:
        constants.append(numpy_helper.from_array(np.array([1]), "axes"))
        nodes.append(helper.make_node("ReduceMean", ["mapped", "axes"], ["y"], keepdims=0))
    if domain:
        nodes.append(helper.make_node("Gelu", ["y"], ["z"], domain=domain))
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))]
    if inputs == 2:
        values.append(helper.make_tensor_value_info("length", TensorProto.INT64, ["batch"]))
    result = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", WIDTH])]
    graph = helper.make_graph(nodes, "network", values, result, constants)
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.save(model, path)
    return path


def convolutions(path: Path) -> Path:
    """Write three convolutions over time, averaged over the frames."""
    random = np.random.default_rng(0)
    nodes = [helper.make_node("Transpose", ["x"], ["h0"], perm=[0, 2, 1])]
    constants = []
    for number, (channels, target) in enumerate([(BANDS, 32), (32, 32), (32, WIDTH)]):
        kernel = random.normal(0, (3 * channels) ** -0.5, (target, channels, 3))
        constants.append(numpy_helper.from_array(kernel.astype(np.float32), f"c{number}.weight"))
        nodes += [
            helper.make_node("Conv", [f"h{number}", f"c{number}.weight"], [f"c{number}"]),
            helper.make_node("Relu", [f"c{number}"], [f"h{number + 1}"]),
        ]
    nodes.append(helper.make_node("ReduceMean", ["h3"], ["y"], axes=[2], keepdims=0))
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "frames", BANDS])]
    result = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", WIDTH])]
    graph = helper.make_graph(nodes, "network", values, result, constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


@pytest.fixture
def net(tmp_path):
    """A network of [batch, frames, bands]."""
    return network(tmp_path / "net.onnx")
