"""int8 and fp16: the content of the file, the loss of accuracy, and the gate that refuses it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from torch import nn
from voxedge.export import precision as precisions
from voxedge.export.passes import PASSES
from voxedge.export.passes.compress_constants import compress_constants
from voxedge.export.passes.quantise import activations, layers, quantise
from voxedge.export.passes.tidy import tidy
from voxedge.export.passes.to_float16 import to_float16
from voxedge.export.serialise import serialise
from voxedge.export.trace import trace, trace_module

from tests.conftest import RATE, SPEAKERS, voice
from voxedge import Identifier
from voxedge.errors import ParityError
from voxedge.model_file.reader import read_model
from voxedge.nn.speaker_net import ExportedNet, SpeakerNet
from voxedge.nn.trunks import TRUNKS
from voxedge.nn.window import Window
from voxedge.train.build import build_frontend, build_net, load_net
from voxedge.train.recipe_sections import FrontendRecipe
from voxedge.train.run import find_run

VOICES = [voice(100 + 15 * n, 1.0, n) for n in range(12)]
WINDOW = 16_000


# --- a trained network, exported to int8 ---------------------------------------------------------


def test_the_int8_file_gives_initial_weights(int8, workshop):
    run = find_run(workshop / "runs")
    recipe = run.recipe()
    nets = build_net(recipe, 4, init=str(int8.path)).eval(), load_net(run)
    side = recipe.frontend.image_size
    image = torch.randn(5, 1, side, side).expand(-1, 3, -1, -1)
    with torch.no_grad():
        rounded, exact = (net.trunk(image) for net in nets)
    assert torch.cosine_similarity(rounded, exact).min() > 0.995
    assert not torch.equal(rounded, exact)


def test_the_int8_file_identifies_and_records_its_loss(int8, workshop, model_path):
    assert int8.bytes < 0.31 * model_path.stat().st_size
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


def test_the_matrices_behind_the_trunk_are_stored_in_8_bits(int8):
    stored = {i.name: i.data_type for i in onnx.load(int8.path).graph.initializer}
    matrix = "net.bypass.linear.weight_int8"  # of four speakers the head itself is too small
    assert stored[matrix] == onnx.TensorProto.INT8


def test_consecutive_integers_become_a_range():
    window = build_frontend(FrontendRecipe(feature="seed", window_seconds=2.0)).window
    model = trace_module(window, (torch.zeros(2, 9), torch.tensor([9])), ["samples"])
    assert compress_constants(model)
    assert tidy(model)
    assert max(value.const_value.size for value in model.graph.initializers.values()) == 1
    (sequence,) = [node for node in model.graph if node.op_type == "Range"]
    assert [int(value.const_value.numpy()) for value in sequence.inputs] == [0, 2 * WINDOW, 1]
    assert not compress_constants(model)


def test_a_long_window_repeats_a_clip_at_its_length():
    """The exporter once took the factor 1 + 0.5 / 64,000 for 1: samples were off by one clip."""
    window = Window(64_000, "repeat")
    model = trace_module(window, (torch.zeros(2, 9), torch.tensor([9])), ["samples"])
    session = onnxruntime.InferenceSession(serialise(model))
    for length in (4_001, 21_333, 21_334, 63_999):
        clip = np.arange(length, dtype=np.float32)
        (samples,) = session.run(None, {"pcm": clip[None], "lengths": np.array([length])})
        np.testing.assert_array_equal(samples[0], np.resize(clip, 64_000))


def test_a_table_of_sums_becomes_one_vector_per_axis():
    def graph_with(table):
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
    model = graph_with(table)
    assert compress_constants(model)
    assert tidy(model)
    assert max(v.const_value.size for v in model.graph.initializers.values()) == 90
    (sums,) = onnxruntime.InferenceSession(serialise(model)).run(
        None, {"start": np.array([5], np.int32)}
    )
    np.testing.assert_array_equal(sums, 5 + table)
    table[2, 70, 3] += 1
    assert not compress_constants(graph_with(table))


@pytest.mark.parametrize(("int8", "stored"), [(True, "INT8"), (False, "FLOAT16")])
def test_a_matrix_is_stored_in_few_bits_and_loaded_almost_unchanged(int8, stored):
    weight = np.random.default_rng(0).normal(size=(100, 256)).astype(np.float32)
    weight[7] = 0.0  # its scale would be 0
    name, helper = "net.discriminant.maps.0.weight", onnx.helper
    values = [
        helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, shape)
        for value, shape in (("evidence", [1, 256]), ("logits", [1, 100]))
    ]
    node = helper.make_node("Gemm", ["evidence", name], ["logits"], transB=1)
    graph = helper.make_graph(
        [node], "discriminant", values[:1], values[1:], [onnx.numpy_helper.from_array(weight, name)]
    )
    opset = [helper.make_opsetid("", 18)]
    model = ir.from_proto(helper.make_model(graph, ir_version=10, opset_imports=opset))
    assert compress_constants(model, int8)
    assert tidy(model)
    large = [v.const_value for v in model.graph.initializers.values() if v.const_value.size > 9_999]
    assert [tensor.dtype for tensor in large] == [ir.DataType[stored]]
    evidence = np.random.default_rng(1).normal(size=(1, 256)).astype(np.float32)
    (actual,) = onnxruntime.InferenceSession(serialise(model)).run(None, {"evidence": evidence})
    expected = evidence @ weight.T
    assert np.abs(actual - expected).max() < 0.02 * np.abs(expected).max()
    assert actual[0, 7] == 0.0


def test_every_layer_is_int8_and_fits_16_bit_sums(int8):
    model = onnx.load(int8.path)
    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain for opset in model.opset_import} == {""}
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 20
    for node in convolutions:
        sources = [producers[name] for name in node.input]
        assert {source.op_type for source in sources} == {"DequantizeLinear"}
        weights, bias = (constants[source.input[0]] for source in sources[1:])
        assert weights.dtype == np.int8
        assert bias.dtype == np.int32
        assert 2 * 255 * int(np.abs(weights.astype(int)).max()) < 2**15
    count = Counter(node.op_type for node in model.graph.node)
    assert count["QuantizeLinear"] == 1 + 1 + 20 + 8  # image, MaxPool, convolutions, additions
    kernels = [value for value in constants.values() if value.ndim == 4]
    assert {kernel.dtype for kernel in kernels} == {np.dtype(np.int8)}


# --- a small network that identifies twelve voices -------------------------------------------


@pytest.fixture(scope="module")
def traced() -> ir.Model:
    """Three layers, and a head solved for so that each voice is a class of its own."""
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
        weight = torch.linalg.pinv(centred)  # each row orthogonal to all voices but one
        net.head.weight.copy_(10 * weight.T)
        net.head.bias.copy_(-10 * weight.T @ embedding.mean(dim=0))
    model = trace(ExportedNet(net, 1.0))
    for apply in PASSES:
        apply(model)
    return model


@pytest.fixture
def model(traced) -> ir.Model:
    return ir.from_proto(ir.to_proto(traced))


def lower(model: ir.Model, precision="int8", say=lambda _: None):
    return precisions.lower_precision(
        model,
        precision,
        calibration=VOICES,
        validation=lambda: enumerate(VOICES),
        window=WINDOW,
        rate=RATE,
        temperature=1.0,
        say=say,
    )


def logits(model: ir.Model) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(serialise(model), options)
    return session.run(["logits"], {"pcm": np.stack(VOICES)})[0]


def make_sensitive(model: ir.Model, *places: int) -> None:
    """Scale one output channel of these layers up to 10^5 times the others, and the weights that
    read it down: float32 computes the same, 256 steps lose all other channels."""
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
def test_lower_precision_is_close_and_deterministic(model, precision, close):
    before = serialise(model)
    lowered, loss = lower(model, precision)
    assert serialise(model) == before
    assert loss.passed
    assert loss.hits[1] == (12, 12)
    assert loss.summary()["top1"][precision] == 1.0
    difference = np.abs(logits(lowered) - logits(model)).max()
    assert 0 < difference < close
    assert serialise(lower(model, precision)[0]) == serialise(lowered)


@pytest.mark.parametrize("apply", [quantise, to_float16])
def test_layers_left_in_float_are_left_alone_and_a_second_run_changes_nothing(model, apply):
    ranges = dict.fromkeys(activations(model), (-4.0, 4.0))
    names = list(layers(model))
    run = (
        (lambda m: quantise(m, ranges, names[1:2]))
        if apply is quantise
        else (lambda m: to_float16(m, names[1:2]))
    )
    assert run(model)
    assert list(layers(model)) == names[1:2]
    assert logits(model).shape == (12, 12)
    after = serialise(model)
    assert not run(model)
    assert serialise(model) == after


def test_a_resnets_stem_can_stay_in_float():
    """Two layers then read its output, the first of a block and its bypass."""
    frontend = build_frontend(FrontendRecipe(window_seconds=1.0, image_size=32))
    trunk, width = TRUNKS["resnet18"](1.0)
    net = SpeakerNet(frontend, trunk, nn.Linear(width, len(VOICES))).eval()
    model = trace(ExportedNet(net, 1.0))
    for apply in PASSES:
        apply(model)
    names = list(layers(model))
    assert quantise(model, dict.fromkeys(activations(model), (-4.0, 4.0)), names[:1])
    assert list(layers(model)) == names[:1]
    assert logits(model).shape == (12, 12)


def test_the_most_sensitive_layers_stay_in_float(model):
    names = list(layers(model))
    make_sensitive(model, 0)
    lines: list[str] = []
    _, loss = lower(model, say=lines.append)
    assert loss.passed
    assert set(loss.in_float) == set(names[:2])
    assert any("layers to blame" in line for line in lines)


def test_too_large_a_loss_is_refused_and_names_the_layers(model, monkeypatch):
    monkeypatch.setattr(precisions, "_LAYERS_TRIED_IN_FLOAT", (1,))
    make_sensitive(model, 0, 1)
    with pytest.raises(ParityError, match=r"top-1 .* clips lost, 1 allowed.*net\.trunk\."):
        lower(model)
