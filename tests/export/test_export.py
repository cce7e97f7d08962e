from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from voxedge.export import parity, pipeline
from voxedge.export.passes import PASSES
from voxedge.export.passes.fold_channel_repeat import fold_channel_repeat
from voxedge.export.passes.narrow_indices import narrow_indices
from voxedge.export.passes.tidy import tidy
from voxedge.export.pipeline import export_run
from voxedge.export.precision import convert_precision
from voxedge.export.trace import trace

from tests.conftest import RATE, voice
from voxedge.errors import CorpusError, ParityError, RunError
from voxedge.model_file.reader import read_model
from voxedge.nn.speaker_net import ExportedNet
from voxedge.nn.trunks import TRUNKS
from voxedge.train.build import build_net, load_net
from voxedge.train.onnx_weights import read_graph
from voxedge.train.recipe import Recipe
from voxedge.train.run import find_run


@pytest.fixture(scope="module")
def run(workshop):
    return find_run(workshop / "runs")


@pytest.fixture(scope="module")
def session(model_path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model_path, options)


def test_the_graph_has_the_documented_inputs_and_outputs(model_path, session):
    model = onnx.load(model_path)
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    assert model.ir_version == 8  # the lowest of opset 18, so that old runtimes load the file
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [
        ("pcm", "tensor(float)", ["batch", "samples"])
    ]
    assert [(i.name, i.type) for i in session.get_overridable_initializers()] == [
        ("lengths", "tensor(int64)")
    ]
    shapes = {o.name: o.shape for o in session.get_outputs()}
    assert shapes == {
        "logits": ["batch", 4],
        "probabilities": ["batch", 4],
        "embedding": ["batch", 256],
    }
    operators = {node.op_type for node in model.graph.node}
    assert not operators & {"STFT", "DFT", "Resize", "Loop", "If"}
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    assert len(norms) <= 2  # of embeddings; those of the trunk are folded into its convolutions


def test_the_first_convolution_takes_one_channel(model_path):
    model = onnx.load(model_path)
    initializers = {i.name: i for i in model.graph.initializer}
    convolutions = [n for n in model.graph.node if n.op_type == "Conv"]
    assert list(initializers[convolutions[0].input[1]].dims) == [16, 1, 7, 7]
    producers = {name: node.op_type for node in model.graph.node for name in node.output}
    assert producers[convolutions[0].input[0]] != "Concat"


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("samples", [1, 4001, 48_000, 100_003])
def test_any_batch_and_any_length_give_pytorchs_outputs(run, session, batch, samples):
    net = ExportedNet(load_net(run), run.metrics()["temperature"]).eval()
    pcm = np.stack([voice(100 + 40 * n, 7, n)[:samples] for n in range(batch)])
    lengths = np.linspace(max(1, samples // 2), samples, batch).astype(np.int64)
    with torch.inference_mode():
        expected = net(torch.from_numpy(pcm), torch.from_numpy(lengths))
    names = ["logits", "probabilities", "embedding"]
    actual = session.run(names, {"pcm": pcm, "lengths": lengths})
    for a, b in zip(expected, actual, strict=True):
        np.testing.assert_allclose(a.numpy(), b, atol=1e-3)
    whole = session.run(names, {"pcm": pcm})
    full = session.run(names, {"pcm": pcm, "lengths": np.full(batch, samples)})
    np.testing.assert_array_equal(whole[0], full[0])


def test_the_reference_evaluator_agrees(run, model_path, session):
    """PyTorch, ONNX Runtime, and a third, independent implementation: ONNX's own."""
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import OpRun

    class GatherElements(OpRun):  # onnx's own is wrong where rows are long
        def _run(self, data, indices, axis=0):
            return (np.take_along_axis(data, indices, axis),)

    pcm = voice(150, 1.0, 7)[None]
    feeds = {"pcm": pcm, "lengths": np.array([RATE])}
    evaluator = ReferenceEvaluator(str(model_path), new_ops=[GatherElements])
    theirs = evaluator.run(["logits"], feeds)[0]
    with torch.inference_mode():
        ours = load_net(run)(torch.from_numpy(pcm), torch.tensor([RATE]))[0].numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    np.testing.assert_allclose(session.run(["logits"], feeds)[0], theirs, atol=1e-3)


def test_the_metadata_is_complete(run, model_path):
    read = read_model(model_path)
    metadata = read.metadata
    assert metadata.labels == ("ada", "ben", "cleo", "dan") == run.labels()
    assert metadata.sample_rate == 16_000
    assert metadata.window_seconds == 3.0
    assert metadata.min_seconds == 0.25
    assert metadata.embedding_dim == 256
    assert metadata.thresholds["clips"] == 4  # too few for any threshold
    assert set(metadata.thresholds["accept"].values()) == {None}
    assert metadata.temperature == run.metrics()["temperature"]
    assert metadata.metrics == run.metrics()["test"]
    assert metadata.frontend["feature"] == "mel"
    assert metadata.parity["top1"] == metadata.parity["top5"] == 1.0
    assert metadata.parity["logits"] <= 1e-3
    assert metadata.training["recipe"]["name"] == "default"
    assert metadata.training["data_digest"] == run.corpus_info()["digest"]
    assert len(onnx.load(model_path).metadata_props) == 1


def test_no_path_of_the_training_machine_is_in_the_file(workshop, model_path):
    content = model_path.read_bytes()
    for secret in (str(workshop).encode(), b"site-packages", b"speaker_net.py"):
        assert secret not in content


def test_of_folders_only_the_names_are_recorded():
    places = {"model.init": "/home/ada/runs/first", "augment.noise_folder": "/home/ada/noise"}
    names = pipeline.folder_names(Recipe().with_values(places))
    assert names == {
        "model.trunk": "resnet18",
        "model.init": "first",
        "augment.noise_folder": "noise",
        "augment.rooms_folder": "",
    }


def test_the_parity_gate_refuses_changed_answers():
    good = parity.Row("case", 10, 1e-6, 1e-7, 1e-7, 1.0, 1.0)
    parity.check([good])
    with pytest.raises(ParityError, match=r"top-5 in 90\.0%"):
        parity.check([good, parity.Row("case", 10, 1e-6, 1e-7, 1e-7, 1.0, 0.9)])
    with pytest.raises(ParityError, match="embeddings by 2"):
        parity.check([good, parity.Row("case", 10, 1e-6, 1e-7, 2.0, 1.0, 1.0)])


def test_logits_may_differ_relative_to_their_spread_and_nothing_else_may():
    parity.check([parity.Row("case", 10, 3.9e-3, 1e-7, 1e-7, 1.0, 1.0, spread=4.0)])
    for wrong in (
        parity.Row("case", 10, 4.1e-3, 1e-7, 1e-7, 1.0, 1.0, spread=4.0),
        parity.Row("case", 10, 1e-7, 1.1e-3, 1e-7, 1.0, 1.0, spread=4.0),
        parity.Row("case", 10, 1e-7, 1e-7, 1.1e-3, 1.0, 1.0, spread=4.0),
    ):
        with pytest.raises(ParityError, match=r"of logits 4\.0e-03"):
            parity.check([wrong])


def test_an_unfinished_run_is_not_exported(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run.folder, copy)
    (copy / "metrics.json").unlink()
    with pytest.raises(RunError, match="has not ended"):
        export_run(find_run(copy), tmp_path / "model.onnx")


def test_parity_needs_real_clips(run, workshop, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run.folder, copy)
    info = json.loads((copy / "corpus.json").read_text())
    (copy / "corpus.json").write_text(json.dumps(info | {"root": str(tmp_path / "gone")}))
    with pytest.raises(CorpusError, match="--data"):
        export_run(find_run(copy), tmp_path / "model.onnx")
    export_run(find_run(copy), tmp_path / "model.onnx", data=workshop / "data")
    assert read_model(tmp_path / "model.onnx").metadata.labels == run.labels()


# --- passes: rewrites and near misses ------------------------------------------------------------


def repeat_graph(*, axis=1, inputs=("x", "x", "x"), group=1, channels=1, kernel=(2, 3)) -> ir.Model:
    """Conv(Concat(x, x, x)), or a near miss; ``kernel`` is the first two sizes of the weight."""
    shape = [1, channels, 5, 5]
    weight = np.arange(np.prod(kernel) * 9, dtype=np.float32).reshape(*kernel, 3, 3)
    names = sorted(set(inputs))
    graph = helper.make_graph(
        [
            helper.make_node("Concat", list(inputs), ["wide"], axis=axis),
            helper.make_node("Conv", ["wide", "w"], ["y"], group=group),
        ],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return ir.from_proto(model)


def index_graph(operator: str, kind: int) -> ir.Model:
    """x [4, 4], gathered by its own values, cast to ``kind`` and then to int64."""
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=kind),
        helper.make_node("Cast", ["i"], ["index"], to=TensorProto.INT64),
        helper.make_node(operator, ["x", "index"], ["y"], axis=0),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    i = helper.make_tensor_value_info("i", kind, [4, 4])
    graph = helper.make_graph(nodes, "indices", [x], [y], value_info=[i])
    return ir.from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    )


def outputs(model: ir.Model) -> np.ndarray:
    data = ir.to_proto(model).SerializeToString()
    session = onnxruntime.InferenceSession(data)
    random = np.random.default_rng(0)
    feeds = {i.name: random.normal(size=i.shape).astype(np.float32) for i in session.get_inputs()}
    return session.run(None, feeds)[0]


def test_fold_channel_repeat_computes_the_same_once():
    model = repeat_graph()
    before = outputs(model)
    assert fold_channel_repeat(model)
    assert model.graph.node(1).inputs[1].const_value.shape == [2, 1, 3, 3]
    np.testing.assert_allclose(outputs(model), before, rtol=1e-5)
    assert not fold_channel_repeat(model)


@pytest.mark.parametrize(
    "near_miss",
    [
        {"axis": 0, "kernel": (2, 1)},
        {"inputs": ("x", "x", "z")},
        {"inputs": ("x",), "kernel": (2, 1)},
        {"group": 3, "kernel": (3, 1)},
        {"channels": 2, "kernel": (2, 6)},
    ],
    ids=["batch axis", "another input", "a single input", "grouped", "two channels"],
)
def test_fold_channel_repeat_leaves_near_misses_alone(near_miss):
    model = repeat_graph(**near_miss)
    outputs(model)  # the graph is valid
    before = ir.to_proto(model).SerializeToString()
    assert not fold_channel_repeat(model)
    assert ir.to_proto(model).SerializeToString() == before


@pytest.mark.parametrize("operator", ["Gather", "GatherElements"])
def test_int32_indices_are_not_cast_to_int64(operator):
    model = index_graph(operator, TensorProto.INT32)
    before = outputs(model)
    assert narrow_indices(model)
    assert tidy(model)
    assert [node.op_type for node in model.graph] == ["Cast", operator]
    np.testing.assert_array_equal(outputs(model), before)
    assert not narrow_indices(model)


def test_int8_indices_are_cast_to_int64():
    model = index_graph("GatherElements", TensorProto.INT8)  # not allowed as an index
    assert not narrow_indices(model)


# The workshop's model is a resnet18; a resnet34 has the same blocks.
@pytest.mark.parametrize(
    ("trunk", "width"), [("resnet18", 0.5), ("mobilenet_v3_small", 1.0), ("vgg11_bn", 1.0)]
)
def test_other_trunks_give_pytorchs_outputs(trunk, width):
    settings = {"image_size": 32, "window_seconds": 0.5, "n_mels": 40}
    recipe = Recipe.from_dict({"frontend": settings, "model": {"trunk": trunk, "width": width}})
    net = build_net(recipe, 4)
    clips = [voice(120 + 30 * n, 1.0, n) for n in range(4)]
    with torch.no_grad():  # batch norms with non-trivial statistics
        net.train()(torch.from_numpy(np.stack(clips)), torch.full((4,), RATE))
    exported = ExportedNet(net.eval(), 1.0)
    model = trace(exported)
    changed = [apply(model) for apply in PASSES]
    assert changed[PASSES.index(fold_channel_repeat)]
    proto = ir.to_proto(model)
    norms = [node for node in proto.graph.node if node.op_type == "BatchNormalization"]
    assert len(norms) <= 2  # of embeddings
    parity.check(parity.measure(exported, proto.SerializeToString(), clips))
    half = ir.to_proto(convert_precision(model, "fp16", {}))
    image = torch.randn(3, 1, 32, 32).expand(-1, 3, -1, -1)
    for graph, bound in ((proto.graph, 1e-5), (half.graph, 1e-2)):  # as initial weights
        again, _ = TRUNKS[trunk](width)
        again.load_state_dict(read_graph(Path("m.onnx"), {}, graph).trunk_state(again))
        with torch.no_grad():
            expected, actual = net.trunk(image), again.eval()(image)
        torch.testing.assert_close(actual, expected, rtol=bound, atol=bound)
