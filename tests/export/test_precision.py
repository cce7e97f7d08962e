"""int8 and fp16: what is in the file, what it costs, and the gate that refuses."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from torch import nn
from voxedge.export import precision as lowering
from voxedge.export.passes import PASSES
from voxedge.export.passes.halve import halve
from voxedge.export.passes.quantise import activations, layers, quantise
from voxedge.export.passes.shrink import shrink
from voxedge.export.passes.tidy import tidy
from voxedge.export.pipeline import export_run
from voxedge.export.serialise import serialise
from voxedge.export.trace import trace, trace_module

from tests.conftest import SPEAKERS, voice
from voxedge import Identifier
from voxedge.errors import ParityError
from voxedge.model_file.reader import read_model
from voxedge.nn.speaker_net import ExportedNet, SpeakerNet
from voxedge.nn.trunks import TRUNKS
from voxedge.train.build import build_frontend, build_net, load_net
from voxedge.train.recipe import FrontendRecipe
from voxedge.train.run import find_run

VOICES = [voice(100 + 15 * n, 1.0, n) for n in range(12)]
WINDOW = 16_000


# --- a trained network, the whole way ---------------------------------------------------------


@pytest.fixture(scope="module")
def int8(workshop, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "model.onnx"
    return export_run(find_run(workshop / "runs"), path, precision="int8")


def test_a_training_may_begin_with_the_int8_file(int8, workshop):
    run = find_run(workshop / "runs")
    recipe = run.recipe()
    nets = build_net(recipe, 4, init=str(int8.path)).eval(), load_net(run)
    side = recipe.frontend.image_size
    image = torch.randn(5, 1, side, side).expand(-1, 3, -1, -1)
    with torch.no_grad():
        taken, given = (net.trunk(image) for net in nets)
    assert torch.cosine_similarity(taken, given).min() > 0.995
    assert not torch.equal(taken, given)


def test_the_int8_file_identifies_and_says_what_it_cost(int8, workshop, model_path):
    assert int8.bytes < 0.29 * model_path.stat().st_size
    metadata = read_model(int8.path).metadata
    assert metadata.precision == "int8"
    accuracy = metadata.parity["accuracy"]
    assert accuracy["clips"] == sum(band["clips"] for band in accuracy["changed_by_confidence"])
    assert accuracy["top1"]["lost"] <= accuracy["top1"]["allowed"] == 1
    assert accuracy["in_float"] == []
    assert metadata.parity["logits"] <= 1e-3  # of float32 against PyTorch
    one, other = Identifier(int8.path), Identifier(model_path)
    clips = [workshop / f"{name}.wav" for name in SPEAKERS]
    assert [one.identify(c).speaker for c in clips] == [other.identify(c).speaker for c in clips]


def test_what_is_behind_the_trunk_is_kept_in_8_bits(int8):
    kept = {i.name: i.data_type for i in onnx.load(int8.path).graph.initializer}
    matrix = "net.bypass.linear.weight_int8"  # four speakers: the head itself is small
    assert kept[matrix] == onnx.TensorProto.INT8


def test_what_the_runtime_can_work_out_is_not_in_the_file():
    window = build_frontend(FrontendRecipe(feature="seed", window_seconds=2.0)).window
    model = trace_module(window, (torch.zeros(2, 9), torch.tensor([9])), ["samples"])
    assert shrink(model)
    assert tidy(model)
    assert max(value.const_value.size for value in model.graph.initializers.values()) == 1
    (counted,) = [node for node in model.graph if node.op_type == "Range"]
    assert [int(value.const_value.numpy()) for value in counted.inputs] == [0, 2 * WINDOW, 1]
    assert not shrink(model)


def test_a_table_of_sums_is_worked_out_from_its_axes():
    def added(table):
        helper, name = onnx.helper, "places"
        shapes = {"start": [1], "sums": list(table.shape)}
        start, sums = (
            helper.make_tensor_value_info(value, onnx.TensorProto.INT32, shape)
            for value, shape in shapes.items()
        )
        node = helper.make_node("Add", ["start", name], ["sums"])
        constant = onnx.numpy_helper.from_array(table, name)
        graph = helper.make_graph([node], "positions", [start], [sums], [constant])
        opset = [helper.make_opsetid("", 18)]
        return ir.from_proto(helper.make_model(graph, ir_version=10, opset_imports=opset))

    axes = [np.array([7, 9, 4]), np.arange(80) * 16, np.arange(90) * 400]
    table = sum(np.ix_(*axes)).astype(np.int32)
    model = added(table)
    assert shrink(model)
    assert tidy(model)
    assert max(v.const_value.size for v in model.graph.initializers.values()) == 90
    (sums,) = onnxruntime.InferenceSession(serialise(model)).run(
        None, {"start": np.array([5], np.int32)}
    )
    np.testing.assert_array_equal(sums, 5 + table)
    table[2, 70, 3] += 1
    assert not shrink(added(table))


@pytest.mark.parametrize(("eight_bits", "kept"), [(True, "INT8"), (False, "FLOAT16")])
def test_a_matrix_is_kept_in_few_bits_and_read_back_as_it_was(eight_bits, kept):
    weight = np.random.default_rng(0).normal(size=(100, 256)).astype(np.float32)
    weight[7] = 0.0  # has no scale of its own
    name, helper = "net.discriminant.maps.0.weight", onnx.helper
    values = [
        helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, shape)
        for value, shape in (("evidence", [1, 256]), ("logits", [1, 100]))
    ]
    node = helper.make_node("Gemm", ["evidence", name], ["logits"], transB=1)
    graph = helper.make_graph(
        [node], "judge", values[:1], values[1:], [onnx.numpy_helper.from_array(weight, name)]
    )
    opset = [helper.make_opsetid("", 18)]
    model = ir.from_proto(helper.make_model(graph, ir_version=10, opset_imports=opset))
    assert shrink(model, eight_bits)
    assert tidy(model)
    large = [v.const_value for v in model.graph.initializers.values() if v.const_value.size > 9_999]
    assert [tensor.dtype for tensor in large] == [ir.DataType[kept]]
    evidence = np.random.default_rng(1).normal(size=(1, 256)).astype(np.float32)
    (said,) = onnxruntime.InferenceSession(serialise(model)).run(None, {"evidence": evidence})
    expected = evidence @ weight.T
    assert np.abs(said - expected).max() < 0.02 * np.abs(expected).max()
    assert said[0, 7] == 0.0


def test_every_layer_is_int8_and_fits_16_bit_sums(int8):
    model = onnx.load(int8.path)
    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain for opset in model.opset_import} == {""}
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 20
    for node in convolutions:
        sources = [made_by[name] for name in node.input]
        assert {source.op_type for source in sources} == {"DequantizeLinear"}
        weights, bias = (constants[source.input[0]] for source in sources[1:])
        assert weights.dtype == np.int8
        assert bias.dtype == np.int32
        assert 2 * 255 * int(np.abs(weights.astype(int)).max()) < 2**15
    count = Counter(node.op_type for node in model.graph.node)
    assert count["QuantizeLinear"] == 1 + 1 + 20 + 8  # image, MaxPool, convolutions, additions
    kernels = [value for value in constants.values() if value.ndim == 4]
    assert {kernel.dtype for kernel in kernels} == {np.dtype(np.int8)}


# --- a small network that tells twelve voices apart -------------------------------------------


@pytest.fixture(scope="module")
def traced() -> ir.Model:
    """Three layers; the head's classes are the voices themselves."""
    torch.manual_seed(0)
    trunk = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    frontend = build_frontend(FrontendRecipe(window_seconds=1.0, image_size=48))
    net = SpeakerNet(frontend, trunk, nn.Linear(32, len(VOICES))).eval()
    with torch.inference_mode():
        image = net.frontend(torch.from_numpy(np.stack(VOICES)), torch.tensor([WINDOW]))
        embedding = net.trunk(torch.cat([image] * 3, dim=1))
        centred = embedding - embedding.mean(dim=0)
        weight = torch.linalg.pinv(centred)  # orthogonal to all voices but one
        net.head.weight.copy_(10 * weight.T)
        net.head.bias.copy_(-10 * weight.T @ embedding.mean(dim=0))
    model = trace(ExportedNet(net, 1.0))
    for apply in PASSES:
        apply(model)
    model.ir_version = 10
    return model


@pytest.fixture
def model(traced) -> ir.Model:
    return ir.from_proto(ir.to_proto(traced))


def lowered(model: ir.Model, precision="int8", say=lambda _: None):
    return lowering.lower(
        model,
        precision,
        calibration=VOICES,
        validation=lambda: enumerate(VOICES),
        window=WINDOW,
        temperature=1.0,
        say=say,
    )


def logits(model: ir.Model) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(serialise(model), options)
    return session.run(["logits"], {"pcm": np.stack(VOICES)})[0]


def spoil(model: ir.Model, *places: int) -> None:
    """Make one channel behind these layers some 10^5 times the others, and the weights that read
    it that much smaller: float32 does not mind, 256 steps do."""
    names = list(layers(model))
    for place in places:
        constants = model.graph.initializers
        writer, bias = (value.const_value for value in layers(model)[names[place]].inputs[1:])
        reader = layers(model)[names[place + 1]].inputs[1]
        shifted, small = bias.numpy().copy(), reader.const_value.numpy().copy()
        shifted[0] = 1e5
        small[:, 0] = 1e-9
        bias_name = layers(model)[names[place]].inputs[2].name
        constants[bias_name].const_value = ir.tensor(shifted, name=bias_name)
        reader.const_value = ir.tensor(small, name=reader.name)
        assert writer.shape[0] == small.shape[1]


@pytest.mark.parametrize(("precision", "close"), [("int8", 1.5), ("fp16", 0.1)])
def test_lower_precision_is_close_and_the_same_every_time(model, precision, close):
    before = serialise(model)
    made, accuracy = lowered(model, precision)
    assert serialise(model) == before
    assert accuracy.passed
    assert accuracy.hits[1] == (12, 12)
    assert accuracy.summary()["top1"][precision] == 1.0
    difference = np.abs(logits(made) - logits(model)).max()
    assert 0 < difference < close
    assert serialise(lowered(model, precision)[0]) == serialise(made)


@pytest.mark.parametrize("apply", [quantise, halve])
def test_layers_left_in_float_are_left_alone_and_a_second_run_changes_nothing(model, apply):
    ranges = dict.fromkeys(activations(model), (-4.0, 4.0))
    names = list(layers(model))
    run = (
        (lambda m: quantise(m, ranges, names[1:2]))
        if apply is quantise
        else (lambda m: halve(m, names[1:2]))
    )
    assert run(model)
    assert list(layers(model)) == names[1:2]
    assert logits(model).shape == (12, 12)
    after = serialise(model)
    assert not run(model)
    assert serialise(model) == after


def test_a_resnets_stem_can_stay_in_float():
    """What it feeds is then read by two layers at once, the first of a block and its bypass."""
    frontend = build_frontend(FrontendRecipe(window_seconds=1.0, image_size=32))
    trunk, width = TRUNKS["resnet18"](1.0)
    net = SpeakerNet(frontend, trunk, nn.Linear(width, len(VOICES))).eval()
    made = trace(ExportedNet(net, 1.0))
    for apply in PASSES:
        apply(made)
    made.ir_version = 10
    names = list(layers(made))
    assert quantise(made, dict.fromkeys(activations(made), (-4.0, 4.0)), names[:1])
    assert list(layers(made)) == names[:1]
    assert logits(made).shape == (12, 12)


def test_the_layers_to_blame_are_left_in_float(model):
    names = list(layers(model))
    spoil(model, 0)
    told: list[str] = []
    _, accuracy = lowered(model, say=told.append)
    assert accuracy.passed
    assert set(accuracy.in_float) == set(names[:2])
    assert any("layers to blame" in line for line in told)


def test_too_great_a_loss_names_the_layers(model, monkeypatch):
    monkeypatch.setattr(lowering, "_TRIED_IN_FLOAT", (1,))
    spoil(model, 0, 1)
    with pytest.raises(ParityError, match=r"top-1 .* clips lost, 1 allowed.*net\.trunk\."):
        lowered(model)
