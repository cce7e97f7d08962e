"""int8 and fp16: what is in the file, what it costs, and the gate that refuses."""

from __future__ import annotations

import shutil
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from voxedge.export.pipeline import export_run

from tests.conftest import SPEAKERS, voice
from voxedge import Identifier, artifact
from voxedge.errors import ParityError
from voxedge.train.checkpoint import load_checkpoint, save_checkpoint
from voxedge.train.run import Run, find_run


@pytest.fixture(scope="module")
def run(workshop) -> Run:
    return find_run(workshop / "runs")


@pytest.fixture(scope="module")
def int8(run, tmp_path_factory):
    return export_run(run, tmp_path_factory.mktemp("int8") / "model.onnx", precision="int8")


@pytest.fixture(scope="module")
def fp16(run, tmp_path_factory):
    return export_run(run, tmp_path_factory.mktemp("fp16") / "model.onnx", precision="fp16")


def sessions_output(path, pcm):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options).run(["logits"], {"pcm": pcm})[0]


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_the_file_identifies_and_says_its_precision(precision, request, workshop, model_path):
    done = request.getfixturevalue(precision)
    whole = model_path.stat().st_size
    assert done.bytes < {"int8": 0.29, "fp16": 0.53}[precision] * whole
    metadata = artifact.read(done.path).metadata
    assert metadata.precision == precision
    accuracy = metadata.parity["accuracy"]
    assert accuracy["clips"] == sum(b["clips"] for b in accuracy["changed_by_confidence"])
    assert accuracy["top1"]["lost"] <= accuracy["top1"]["allowed"] == 1
    assert metadata.parity["logits"] <= 1e-3  # of float32 against PyTorch
    assert [Identifier(done.path).identify(workshop / f"{n}.wav").speaker for n in SPEAKERS] == [
        Identifier(model_path).identify(workshop / f"{n}.wav").speaker for n in SPEAKERS
    ]


def test_every_layer_is_int8_and_fits_16_bit_sums(int8):
    model = onnx.load(int8.path)
    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain for opset in model.opset_import} == {""}
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    over_images = 0
    for node in model.graph.node:
        if node.op_type != "Conv" or made_by[node.input[0]].op_type != "DequantizeLinear":
            continue
        over_images += 1
        weights, bias = (constants[made_by[name].input[0]] for name in node.input[1:])
        assert weights.dtype == np.int8
        assert bias.dtype == np.int32
        assert 2 * 255 * int(np.abs(weights.astype(int)).max()) < 2**15
    assert over_images == 20
    count = Counter(node.op_type for node in model.graph.node)
    assert count["QuantizeLinear"] == 1 + 1 + 20 + 8  # image, MaxPool, convolutions, additions
    assert not [name for name in constants if name.endswith(".weight") and "head" not in name]


def test_same_run_same_bytes(run, int8, tmp_path):
    export_run(run, tmp_path / "again.onnx", precision="int8")
    assert (tmp_path / "again.onnx").read_bytes() == int8.path.read_bytes()


def test_half_precision_is_close(run, fp16, model_path):
    pcm = np.stack([voice(pitch, 3.0, 5) for pitch in SPEAKERS.values()])
    expected, actual = (sessions_output(path, pcm) for path in (model_path, fp16.path))
    np.testing.assert_allclose(actual, expected, atol=0.05)
    assert not np.array_equal(actual, expected)


# --- layers that cannot be quantised ----------------------------------------------------------


def spoilt(run: Run, folder, *stages: int) -> Run:
    """The same network, but one channel between these stages and the next is some 10^4 times the
    others, and the weights that read it that much smaller: float32 does not mind, 256 steps do."""
    shutil.copytree(run.folder, folder)
    bad = find_run(folder)
    checkpoint = load_checkpoint(bad.best)
    weights = {name.removeprefix("net.trunk."): w for name, w in checkpoint.tensors.items()}
    for stage in stages:
        weights[f"layer{stage}.1.bn2.weight"][0] *= 1e4
        weights[f"layer{stage}.1.bn2.bias"][0] = 1e4
        for reader in ("conv1", "downsample.0"):
            weights[f"layer{stage + 1}.0.{reader}.weight"][:, 0] *= 1e-6
    save_checkpoint(bad.best, checkpoint.tensors, checkpoint.state)
    return bad


def test_the_layers_to_blame_are_left_in_float(run, tmp_path):
    told: list[str] = []
    bad = spoilt(run, tmp_path / "run", 1)
    done = export_run(bad, tmp_path / "model.onnx", precision="int8", say=told.append)
    assert done.accuracy.passed
    assert "net.trunk.layer1.1.conv2" in done.accuracy.in_float
    assert len(done.accuracy.in_float) <= 4
    assert any("layers to blame" in line for line in told)


def test_too_great_a_loss_writes_nothing_and_names_the_layers(run, tmp_path):
    bad = spoilt(run, tmp_path / "run", 1, 2, 3)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the old one")
    with pytest.raises(ParityError, match=r"top-1 .* clips lost, 1 allowed.*net\.trunk\.layer"):
        export_run(bad, path, precision="int8")
    assert path.read_bytes() == b"the old one"
