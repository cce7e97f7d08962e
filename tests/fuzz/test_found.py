"""Inputs by which fuzzing found faults, each made by code."""

from __future__ import annotations

import pytest

from tests.faults import make
from tests.fuzz.service import ask
from voxedge.errors import ModelError
from voxedge.inference.identifier import Identifier
from voxedge.model_file.metadata import KEY
from voxedge.model_file.seal import seal


def test_an_address_that_is_not_utf_8_is_answered():
    """What a server passes on of ``GET /people?\\xff``."""
    assert ask(b"GET /people?\xff\n\n")[0] == 200
    assert ask(b"GET /\xff\n\n")[0] == 404


@pytest.mark.parametrize("name", [b"pcm", b"batch", b"logits", b"lengths"])
def test_a_model_whose_names_are_not_utf_8_is_refused(name, tmp_path):
    model = make.small_graph()
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, make.metadata().to_json()
    data = model.SerializeToString().replace(name, b"\x94" * len(name))
    (tmp_path / "model.onnx").write_bytes(seal(data))
    with pytest.raises(ModelError):
        Identifier(tmp_path / "model.onnx", device="cpu")
