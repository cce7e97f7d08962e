"""The reader takes what the export writes, and notices every change to it."""

from __future__ import annotations

import random

import onnx
import pytest

from tests.faults.make import small_model
from voxedge.errors import ModelError, ModelNotFound
from voxedge.model_file.metadata import Metadata
from voxedge.model_file.reader import read_model


def test_the_reader_and_onnx_agree(model_path):
    read = read_model(model_path)
    model = onnx.load(model_path)
    assert read.opset == model.opset_import[0].version
    assert read.ir_version == model.ir_version
    assert read.size == model_path.stat().st_size
    assert read.metadata == Metadata.from_json(model.metadata_props[0].value)


def test_every_flipped_bit_is_noticed(model_path, tmp_path):
    data = model_path.read_bytes()
    draw = random.Random(0)
    for _ in range(32):
        flipped = bytearray(data)
        flipped[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        (tmp_path / "model.onnx").write_bytes(flipped)
        with pytest.raises(ModelError):
            read_model(tmp_path / "model.onnx")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(ModelNotFound, match="voxedge export"):
        read_model(tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="not a regular file"):
        read_model(tmp_path)


def test_a_file_is_unchanged_until_it_is_written_to(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(small_model())
    read = read_model(path)
    read.require_unchanged()
    path.write_bytes(small_model() + b"\0")
    with pytest.raises(ModelError, match="changed while it was opened"):
        read.require_unchanged()
