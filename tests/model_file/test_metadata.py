"""Metadata: its JSON, what is refused in it, and what its reader owes to other schemas."""

from __future__ import annotations

import json

import pytest

from voxedge.audio.limits import MAX_CHANNELS, MAX_RATE, MIN_WINDOW_SECONDS
from voxedge.errors import ModelError
from voxedge.model_file.metadata import Metadata

GOOD = {
    "labels": ("ada", "ben"),
    "sample_rate": 16_000,
    "window_seconds": 3.0,
    "min_seconds": 0.25,
    "embedding_dim": 512,
    "temperature": 1.5,
}


def with_values(**changes) -> str:
    return json.dumps(json.loads(Metadata(**GOOD).to_json()) | changes)


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
        ({"sample_rate": MAX_RATE + 1}, "sample_rate"),
        ({"sample_rate": "16000"}, "right type"),
        ({"sample_rate": True}, "right type"),
        ({"window_seconds": 1e9}, "window_seconds"),
        ({"window_seconds": MIN_WINDOW_SECONDS / 2, "min_seconds": 0.1}, "window_seconds"),
        ({"min_seconds": 9}, "min_seconds"),
        ({"min_seconds": 0}, "min_seconds"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": float("nan")}, "NaN"),
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"input": {"dtype": "float64"}}, "dtype"),
        ({"input": {"channels": MAX_CHANNELS + 1}}, "channels"),
        ({"input": {"channels": "2"}}, "channels"),
        ({"schema": 3}, "upgrade voxedge-speaker"),
        ({"schema": "1"}, "schema"),
        ({"frontend": []}, "right type"),
        ({"input": []}, "right type"),
    ],
)
def test_impossible_metadata_is_refused(changes, message):
    with pytest.raises(ModelError, match=message):
        Metadata.from_json(with_values(**changes))


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


def test_keys_that_a_reader_does_not_know_are_ignored():
    assert Metadata.from_json(with_values(colour="blue")) == Metadata(**GOOD)


def test_fields_that_a_file_lacks_have_their_default():
    value = json.loads(Metadata(**GOOD).to_json())
    required = {key: value[key] for key in (*GOOD, "schema")}
    metadata = Metadata.from_json(json.dumps(required))
    assert metadata == Metadata(**GOOD)
    assert (metadata.dtype, metadata.channels, metadata.precision) == ("float32", 1, "fp32")


def test_what_other_programs_write_for_reports_is_kept_unchecked():
    written = {"metrics": {"top1": "good"}, "parity": {"x": [1]}, "thresholds": {"eer": 0.4}}
    metadata = Metadata.from_json(with_values(**written))
    assert (metadata.metrics, metadata.parity) == (written["metrics"], written["parity"])
    assert metadata.thresholds == {"eer": 0.4}


def test_a_file_of_schema_2_may_give_embeddings_only():
    metadata = Metadata(**GOOD | {"labels": (), "schema": 2}, source="a paper")
    assert Metadata.from_json(metadata.to_json()) == metadata
    assert not metadata.names_speakers
    assert metadata.outputs == {"embedding": 512}
    assert Metadata(**GOOD).outputs == {"logits": 2, "probabilities": 2, "embedding": 512}


@pytest.mark.parametrize(("labels", "schema"), [((), 1), (("only",), 2)])
def test_no_other_file_has_fewer_than_two_labels(labels, schema):
    with pytest.raises(ModelError, match="two labels"):
        Metadata(**GOOD | {"labels": labels, "schema": schema})
