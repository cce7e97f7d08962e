from __future__ import annotations

import json
import random

import onnx
import pytest

from voxedge.errors import ModelError, ModelNotFound
from voxedge.model_file.metadata import DIGEST_BLANK, KEY, Metadata
from voxedge.model_file.reader import read_model
from voxedge.model_file.seal import seal

GOOD = {
    "labels": ("ada", "ben"),
    "sample_rate": 16_000,
    "window_seconds": 3.0,
    "min_seconds": 0.25,
    "embedding_dim": 512,
    "temperature": 1.5,
}


def test_metadata_round_trip():
    metadata = Metadata(**GOOD, licence="CC BY 4.0", metrics={"top1": 0.5})
    assert Metadata.from_json(metadata.to_json()) == metadata
    assert metadata.window == 48_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["only"]}, "two labels"),
        ({"labels": ["same", "same"]}, "twice"),
        ({"labels": ["", "b"]}, "empty label"),
        ({"labels": "ab"}, "right type"),
        ({"labels": [1, 2]}, "right type"),
        ({"sample_rate": 0}, "sample_rate"),
        ({"sample_rate": "16000"}, "right type"),
        ({"window_seconds": 1e9}, "window_seconds"),
        ({"min_seconds": 9}, "min_seconds"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": float("nan")}, "NaN"),
        ({"schema": 2}, "upgrade voxedge"),
        ({"schema": "1"}, "schema"),
        ({"frontend": []}, "right type"),
    ],
)
def test_impossible_metadata_is_refused(changes, message):
    value = json.loads(Metadata(**GOOD).to_json()) | changes
    with pytest.raises(ModelError, match=message):
        Metadata.from_json(json.dumps(value))


@pytest.mark.parametrize("key", ["labels", "sample_rate", "temperature", "schema"])
def test_missing_metadata_is_refused(key):
    value = json.loads(Metadata(**GOOD).to_json())
    del value[key]
    with pytest.raises(ModelError):
        Metadata.from_json(json.dumps(value))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": 1, "schema": 1}', "[" * 100_000])
def test_what_is_not_metadata_is_refused(text):
    with pytest.raises(ModelError):
        Metadata.from_json(text)


def test_a_label_that_looks_like_a_digest_does_not_confuse_the_seal():
    tricky = '"digest":"' + DIGEST_BLANK + '"'
    metadata = Metadata(**(GOOD | {"labels": (tricky, "b")}))
    model = onnx.ModelProto()
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, metadata.to_json()
    sealed = seal(model.SerializeToString())
    value = onnx.load_from_string(sealed).metadata_props[0].value
    assert json.loads(value)["labels"] == [tricky, "b"]
    assert json.loads(value)["digest"] != DIGEST_BLANK


def test_every_flipped_bit_is_noticed(model_path, tmp_path):
    data = model_path.read_bytes()
    draw = random.Random(0)
    for _ in range(32):
        flipped = bytearray(data)
        flipped[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        (tmp_path / "model.onnx").write_bytes(flipped)
        with pytest.raises(ModelError):
            read_model(tmp_path / "model.onnx")


def test_the_reader_and_onnx_agree(model_path):
    read = read_model(model_path)
    model = onnx.load(model_path)
    assert read.opset == model.opset_import[0].version
    assert read.ir_version == model.ir_version
    assert read.metadata == Metadata.from_json(model.metadata_props[0].value)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(ModelNotFound, match="voxedge export"):
        read_model(tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="not a regular file"):
        read_model(tmp_path)
