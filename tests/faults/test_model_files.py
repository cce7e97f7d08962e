"""Model files that are damaged, hostile, or of other programs.

They are sealed with a correct digest, except where the digest itself is tested.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.faults.check import records, voxedge
from tests.faults.conftest import CLEAN
from tests.faults.make import LABELS, metadata, sealed, small_graph, small_model, wav
from voxedge import Identifier
from voxedge.errors import ModelError, ModelNotFound
from voxedge.model_file.metadata import DIGEST_BLANK, KEY
from voxedge.model_file.reader import read_model
from voxedge.model_file.seal import digest, seal

TEXT = metadata().to_json()
Change = Callable[[onnx.ModelProto], object]


def refused(path: Path, message: str | None = None, error: type[ModelError] = ModelError) -> str:
    """The file is refused when it is opened, in time, by this error, and with exit code 4."""
    start = time.process_time()
    with pytest.raises(ModelError, match=message) as caught:
        Identifier(path, threads=1)
    assert time.process_time() - start < 20
    assert type(caught.value) is error
    assert caught.value.exit_code == 4
    return str(caught.value)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "model.onnx"


def test_the_model_that_the_other_tests_break_works(path):
    path.write_bytes(small_model())
    answer = Identifier(path, any_sound=True).identify(CLEAN)
    assert answer.speaker in LABELS


GOOD = small_model()
NOT_A_MODEL = {
    "empty": b"",
    "one byte": b"\x08",
    "HTML": b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n" * 20,
    "text": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 45952355\n",
    "zeros": bytes(100_000),
    "random": np.random.default_rng(3).bytes(100_000),
    "ZIP": b"PK\x03\x04" + np.random.default_rng(4).bytes(10_000),
    "WAV": wav(CLEAN),
    "twice the same model": GOOD + GOOD,
    "one byte more": GOOD + b"\0",
    "a field more": GOOD + b"\x32\x01x",
}


@pytest.mark.parametrize("data", NOT_A_MODEL.values(), ids=NOT_A_MODEL)
def test_what_is_not_a_model_is_refused(data, path):
    path.write_bytes(data)
    refused(path)


def test_a_model_cut_anywhere_is_refused(path, traced_file):
    for length in range(0, len(GOOD), 13):
        path.write_bytes(GOOD[:length])
        refused(path)
    data = traced_file.read_bytes()
    for part in (0.1, 0.5, 0.999999):
        path.write_bytes(data[: round(part * len(data))])
        refused(path)


def test_64_flipped_bits_in_a_real_model_are_each_noticed(path, traced_file):
    data = traced_file.read_bytes()
    path.write_bytes(data)
    draw = random.Random(64)
    with path.open("r+b") as file:
        for _ in range(64):
            at, bit = draw.randrange(len(data)), draw.randrange(8)
            file.seek(at)
            file.write(bytes([data[at] ^ 1 << bit]))
            file.flush()
            with pytest.raises(ModelError):
                read_model(path)
            file.seek(at)
            file.write(data[at : at + 1])
            file.flush()
    assert read_model(path).metadata.labels == LABELS


def test_flipped_bits_all_over_a_small_model_are_noticed(path):
    for position in range(0, 8 * len(GOOD), 11):
        flipped = bytearray(GOOD)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        with pytest.raises(ModelError):
            read_model(path)


def test_onnx_files_of_other_programs_are_refused_with_a_hint(path):
    onnx.save(small_graph(), path)
    assert "voxedge export" in refused(path, "not a voxedge model")


# ---- what must not reach ONNX Runtime ----------------------------------------------------------


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
    refused(path, "outside the file")


def varint(value: int) -> bytes:
    low = bytes([value & 0x7F | (0x80 if value > 0x7F else 0)])
    return low + varint(value >> 7) if value > 0x7F else low


def field(tag: int, body: bytes) -> bytes:
    return varint(tag) + varint(len(body)) + body


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
    refused(path, "field number")


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
    refused(path)


def test_files_made_to_exhaust_a_reader_are_refused_at_once(path):
    path.write_bytes(field(7 << 3 | 2, b"\x0a\x00" * 5_000_000))  # five million empty nodes
    refused(path, "more than .* fields")
    nested = b""
    for _ in range(2_000):
        nested = field(1 << 3 | 2, field(5 << 3 | 2, field(6 << 3 | 2, nested)))
    path.write_bytes(field(7 << 3 | 2, nested))
    refused(path, "nested too deep")
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)  # a hole
    refused(path, "bytes")


# ---- the interface -----------------------------------------------------------------------------


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
    message = refused(path, "the model's (inputs|output)")
    for each in words:
        assert each in message


@pytest.mark.parametrize("classes", [2, 4, 6, 100])
def test_a_label_count_unlike_the_classes_is_refused(classes, path):
    path.write_bytes(sealed(small_graph(classes), TEXT))
    message = refused(path, r"should be float \[batch, 5\]")
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
    refused(path)


def output_width(number: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        for entry in model.graph.output:
            entry.type.tensor_type.shape.dim[1].dim_value = number

    return change


@pytest.mark.parametrize("number", [0, 1 << 40])
def test_impossible_dimensions_of_the_interface_are_refused(number, path):
    path.write_bytes(small_model(output_width(number)))
    refused(path)


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


# ---- the metadata ------------------------------------------------------------------------------


def with_values(**changes) -> str:
    return json.dumps(json.loads(TEXT) | changes, separators=(",", ":"))


METADATA = {
    "a newer schema": (with_values(schema=3), "upgrade voxedge"),
    "schema true": (with_values(schema=True), "schema"),
    "no schema": (TEXT.replace('"schema"', '"scheme"'), "schema"),
    "the same JSON key twice": (TEXT.replace("{", '{"labels":["x","y"],', 1), "same key twice"),
    "the same inner key twice": (
        TEXT.replace('"training":{}', '"training":{"a":1,"a":2}'),
        "same key twice",
    ),
    "the same label twice": (with_values(labels=["a", "b", "a", "c", "d"]), "label twice"),
    "one label": (with_values(labels=["a"]), "two labels"),
    "no label": (with_values(labels=[]), "two labels"),
    "an empty label": (with_values(labels=["a", "", "c", "d", "e"]), "empty label"),
    "labels that are numbers": (with_values(labels=[1, 2, 3, 4, 5]), "right type"),
    "temperature NaN": (TEXT.replace('"temperature":1.0', '"temperature":NaN'), "finite"),
    "temperature 1e999": (TEXT.replace('"temperature":1.0', '"temperature":1e999'), "finite"),
    "thresholds Infinity": (with_values(thresholds={"eer": float("inf")}), "finite"),
    "temperature 0": (with_values(temperature=0), "temperature"),
    "10^400 Hz": (with_values(sample_rate=10**400), "sample_rate"),
    "a window of nothing": (with_values(window_seconds=1e-6, min_seconds=1e-7), "window"),
    "a window of an hour": (with_values(window_seconds=3_600), "window"),
    "min_seconds beyond the window": (with_values(min_seconds=2), "min_seconds"),
    "a list": ('[{"digest":"' + DIGEST_BLANK + '"}]', "not an object"),
    "not JSON": ('{"digest":"' + DIGEST_BLANK + '"', "not valid JSON"),
    "lists nested without end": ('{"x":' + "[" * 500_000 + TEXT[1:], "not valid JSON"),
    "objects nested without end": ('{"x":' * 500_000 + TEXT, "not valid JSON"),
    "two digests": (TEXT.replace("{", '{"training":{"digest":"' + "0" * 64 + '"},', 1), ""),
}


@pytest.mark.parametrize(("text", "message"), METADATA.values(), ids=METADATA)
def test_false_metadata_is_refused(text, message, path):
    model = small_graph()
    model.metadata_props.add(key=KEY, value=text)
    blank = b'"digest":"' + DIGEST_BLANK.encode()
    data = model.SerializeToString()
    if data.count(blank) == 1:
        data = seal(data)
    path.write_bytes(data)
    refused(path, message or None)


def test_metadata_of_100_megabytes_is_refused_before_it_is_parsed(path):
    path.write_bytes(small_model(text=with_values(licence="x" * 100_000_000)))
    refused(path, "bytes of metadata")


@pytest.mark.parametrize("written", ["", "0" * 64, "f" * 64, "z" * 64, "f" * 63, "F" * 64])
def test_a_digest_that_is_missing_or_wrong_is_refused(written, path):
    model = small_graph()
    model.metadata_props.add(key=KEY, value=with_values(digest=written))
    path.write_bytes(model.SerializeToString())
    refused(path, "digest")


def test_a_metadata_key_that_is_there_twice_is_refused(path):
    """ONNX Runtime takes the last one, ONNX's checker none."""
    for key in (KEY, "other"):
        model = small_graph()
        model.metadata_props.add(key=key, value=with_values(labels=["x", "y", "z", "u", "v"]))
        if key == "other":
            model.metadata_props.add(key=key, value="again")
        path.write_bytes(sealed_first(model))
        refused(path, "key twice")


def sealed_first(model: onnx.ModelProto) -> bytes:
    """Our own entry put first and sealed."""
    others = list(model.metadata_props)
    del model.metadata_props[:]
    model.metadata_props.add(key=KEY, value=TEXT)
    model.metadata_props.extend(others)
    return seal(model.SerializeToString())


HOSTILE = (
    "ansi \x1b[2J\x1b]0;title\x07",
    "bidi \u202egpj.exe\u2066",
    "<script>alert(1)</script>\r\n{}",
    "nul \x00 del \x7f c1 \x9b31m",
    "M" * 1_000_000,
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    values = metadata(labels=HOSTILE, licence="\x1b[31mred\u202e" + "L" * 1_000_000)
    (folder / "model.onnx").write_bytes(small_model(text=values.to_json()))
    (folder / "clip.wav").write_bytes(wav(CLEAN))
    return folder


@pytest.mark.parametrize("arguments", [["identify", "clip.wav"], ["inspect"]], ids=" ".join)
def test_labels_that_would_control_a_terminal_are_escaped_and_cut(arguments, hostile):
    command, *rest = arguments
    done = voxedge(*rest, cwd=hostile, model=hostile / "model.onnx", command=command)
    assert done.returncode == 0
    lines = done.stdout.decode().splitlines()
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) < 1_000
    assert len(lines) < 20
    shown = done.stdout.decode()
    assert r"ansi \u001b[2J" in shown
    assert r"bidi \u202e" in shown
    assert done.stderr == b""


def test_labels_of_any_kind_survive_json_whole(hostile):
    done = voxedge("--json", "clip.wav", cwd=hostile, model=hostile / "model.onnx")
    assert done.returncode == 0
    (record,) = records(done)
    assert {guess["speaker"] for guess in record["predictions"]} == set(HOSTILE)
    assert not set(done.stdout) & {0x1B, 0x07, 0x7F, 0x9B, 0x0D}


# ---- the path, and the command line ------------------------------------------------------------


def test_what_is_not_a_regular_file_is_no_model(tmp_path, path):
    refused(tmp_path / "missing.onnx", "there is no model", ModelNotFound)
    refused(tmp_path, "not a regular file")
    refused(Path("/dev/zero"), "not a regular file")
    os.mkfifo(path)
    refused(path, "not a regular file")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ModelError):
        Identifier(tmp_path / "loop")
    with pytest.raises(ModelError):
        Identifier("a\0b")
    with pytest.raises(ModelError):
        Identifier("x" * 300)


def test_a_link_to_a_model_is_the_model(path, small_file):
    path.symlink_to(small_file)
    assert Identifier(path).labels == LABELS


@pytest.mark.parametrize("command", [["identify", "clip.wav"], ["inspect"]], ids=" ".join)
@pytest.mark.parametrize("kind", ["truncated", "missing"])
def test_the_command_line_refuses_with_exit_code_4_and_one_line(command, kind, tmp_path, path):
    (tmp_path / "clip.wav").write_bytes(wav(CLEAN))
    if kind == "truncated":
        path.write_bytes(GOOD[:-100])
    name, *rest = command
    done = voxedge(*rest, cwd=tmp_path, model=path, command=name)
    assert done.returncode == 4
    assert done.stdout == b""
    assert done.stderr.startswith(b"error: ")
    assert b"Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2  # the error, and its hint
