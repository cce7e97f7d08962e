from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from voxedge.export.ort_format import write_ort

from tests.conftest import RATE, voice


@pytest.fixture(scope="module")
def files(model_path, tmp_path_factory):
    model = tmp_path_factory.mktemp("ort") / "model.onnx"
    shutil.copy(model_path, model)
    return model, *write_ort(model)


def test_the_ort_file_gives_the_models_answers(files):
    model, ort, _ = files
    one, other = (onnxruntime.InferenceSession(path) for path in (model, ort))
    pcm = np.stack([voice(150, 2.0, 1), voice(220, 2.0, 2)])
    for feeds in ({"pcm": pcm}, {"pcm": pcm, "lengths": np.array([RATE, 2 * RATE])}):
        for a, b in zip(one.run(None, feeds), other.run(None, feeds), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
    metadata = [session.get_modelmeta().custom_metadata_map for session in (one, other)]
    assert metadata[0]["voxedge"] == metadata[1]["voxedge"]


def test_no_temporary_file_is_logged(model_path, tmp_path, caplog):
    shutil.copy(model_path, tmp_path / "model.onnx")
    write_ort(tmp_path / "model.onnx")
    assert not caplog.records


def test_the_config_lists_the_operators(files):
    _, _, config = files
    lines = config.read_text().splitlines()
    domains = {line.split(";")[0] for line in lines}
    assert "ai.onnx" in domains
    assert any("Conv" in line for line in lines)
    assert not any("/" in line.split("{")[0] for line in lines)  # no path of this machine


#: Types of tensors, by their number in ONNX, as the config names them.
TYPES = {1: "float", 2: "uint8_t", 3: "int8_t", 6: "int32_t", 7: "int64_t", 9: "bool"}


def listed(config):
    """Operator -> positions of inputs and outputs -> types that a minimal build keeps; {}: all."""
    found = {}
    for line in filter(None, config.read_text().splitlines()):
        domain, opset, operators = line.split(";", 2)
        for name, types in re.findall(r"(\w+)((?:\{(?:[^{}]|\{[^{}]*\})*\})?)", operators):
            key = ("" if domain == "ai.onnx" else domain, int(opset), name)
            found[key] = json.loads(types) if types else {}
    return found


def nodes(ort):
    """Domain, opset, operator, and the types of the inputs and outputs of each node of a file."""
    import onnxruntime.tools.ort_format_model  # noqa: F401 - makes the next import possible
    from ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

    data = bytearray(ort.read_bytes())
    graph = InferenceSession.GetRootAsInferenceSession(data, 0).Model().Graph()
    types = {}
    for index in range(graph.NodeArgsLength()):
        value = graph.NodeArgs(index)
        if value.Type() is not None:
            table = value.Type().Value()
            types[value.Name()] = _element_type(table)
    for index in range(graph.NodesLength()):
        node = graph.Nodes(index)
        domain = (node.Domain() or b"").decode().replace("ai.onnx", "")
        inputs = [types.get(node.Inputs(i)) for i in range(node.InputsLength())]
        outputs = [types.get(node.Outputs(i)) for i in range(node.OutputsLength())]
        yield (domain, node.SinceVersion(), node.OpType().decode()), inputs, outputs


def _element_type(table):
    from ort_flatbuffers_py.fbs.TensorTypeAndShape import TensorTypeAndShape

    tensor = TensorTypeAndShape()
    tensor.Init(table.Bytes, table.Pos)
    return TYPES.get(tensor.ElemType(), str(tensor.ElemType()))


def test_the_config_lists_the_operators_and_types_of_the_file_and_no_others(files):
    _, ort, config = files
    kept, used = listed(config), set()
    for key, inputs, outputs in nodes(ort):
        used.add(key)
        for side, types in (("inputs", inputs), ("outputs", outputs)):
            for position, allowed in kept[key].get(side, {}).items():
                assert types[int(position)] in allowed, (key, side, position)
    assert used == set(kept)


def test_a_session_runs_listed_operators_alone(files, tmp_path):
    """As in a minimal build, which optimises nothing itself; its missing kernels cannot be had."""
    _, ort, config = files
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
    session = onnxruntime.InferenceSession(ort, options, providers=["CPUExecutionProvider"])
    session.run(None, {"pcm": voice(150, 2.0, 1)[None]})
    events = json.loads(Path(session.end_profiling()).read_text())
    run = {event["args"]["op_name"] for event in events if "op_name" in event.get("args", {})}
    assert "Conv" in run or "FusedConv" in run
    assert run <= {name for _, _, name in listed(config)}
