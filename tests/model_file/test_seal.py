"""The seal: which digest is put into a file, and where."""

from __future__ import annotations

import hashlib
import json

import onnx
import pytest

from tests.faults.make import metadata, small_graph
from voxedge.errors import ModelError
from voxedge.model_file.metadata import DIGEST_BLANK, KEY
from voxedge.model_file.seal import digest, seal


def with_metadata(text: str) -> bytes:
    model = onnx.ModelProto()
    model.metadata_props.add(key=KEY, value=text)
    return model.SerializeToString()


def test_the_digest_is_that_of_the_file_with_a_blank_digest():
    model = small_graph()
    model.metadata_props.add(key=KEY, value=metadata().to_json())
    blank = model.SerializeToString()
    sealed = seal(blank)
    written = json.loads(onnx.load_from_string(sealed).metadata_props[0].value)["digest"]
    assert written == hashlib.sha256(blank).hexdigest()
    assert sealed.replace(written.encode(), DIGEST_BLANK.encode()) == blank


def test_a_label_that_looks_like_a_digest_does_not_confuse_the_seal():
    tricky = '"digest":"' + DIGEST_BLANK + '"'
    sealed = seal(with_metadata(metadata(labels=(tricky, "b")).to_json()))
    value = onnx.load_from_string(sealed).metadata_props[0].value
    assert json.loads(value)["labels"] == [tricky, "b"]
    assert json.loads(value)["digest"] != DIGEST_BLANK


@pytest.mark.parametrize("written", ["", DIGEST_BLANK[1:], DIGEST_BLANK.replace("0", "G")])
def test_what_is_no_digest_is_refused(written):
    data = json.dumps({"digest": written}).encode()
    with pytest.raises(ModelError, match="no digest"):
        digest(data, 0, len(data), written)


def test_two_digests_are_refused():
    data = b'{"digest": "%b", "training": {"digest": "%b"}}' % (2 * (DIGEST_BLANK.encode(),))
    with pytest.raises(ModelError, match="cannot be located"):
        digest(data, 0, len(data), DIGEST_BLANK)
