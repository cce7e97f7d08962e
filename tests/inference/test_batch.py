"""Clips in columns: what data engines hand to a function."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from voxedge.errors import NoSpeakers, UsageError
from voxedge.inference.batch import COLUMNS, BatchIdentifier
from voxedge.inference.identifier import Identifier


@pytest.fixture(scope="module")
def batch(model_path):
    return BatchIdentifier(model_path, device="cpu", isolate=False)


@pytest.fixture(scope="module")
def clips(workshop):
    return sorted((workshop / "data").rglob("*.wav"))[::7]


def test_paths_and_bytes_give_the_answers_of_the_library(batch, clips, model_path, tmp_path):
    missing, silent = tmp_path / "missing.wav", tmp_path / "empty.wav"
    silent.write_bytes(b"")
    paths = [*clips, missing, silent]
    found = batch({"path": [str(path) for path in paths], "id": np.arange(len(paths))})
    assert set(found) == {"path", "id", *COLUMNS}
    assert all(len(column) == len(paths) for column in found.values())
    expected = [Identifier(model_path, device="cpu").identify(clip, top_k=1) for clip in clips]
    count = len(clips)
    assert found["speaker"].tolist() == [each.speaker for each in expected] + [None, None]
    assert found["probability"][:count].tolist() == [
        each.predictions[0].probability for each in expected
    ]
    assert found["error"].tolist() == [None] * count + ["not_found", "unreadable"]
    assert math.isnan(found["probability"][-1])
    assert found["message"][-1] == "the file is empty"
    assert found["id"].tolist() == list(range(len(paths)))
    by_bytes = batch({"bytes": np.array([clip.read_bytes() for clip in clips], object)})
    assert "bytes" not in by_bytes
    assert by_bytes["probability"].tolist() == found["probability"][:count].tolist()


def test_urls_are_read_by_fsspec(batch, clips):
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    memory = fsspec.filesystem("memory")
    memory.pipe("/clips/a.wav", clips[0].read_bytes())
    found = batch({"path": ["memory://clips/a.wav", "memory://clips/b.wav"]})
    assert found["speaker"][0] == batch({"path": [str(clips[0])]})["speaker"][0]
    assert found["error"].tolist() == [None, "not_found"]


def test_it_travels_to_another_process(batch, clips):
    path = [str(clips[0])]
    again = pickle.loads(pickle.dumps(batch))
    assert again({"path": path})["speaker"].tolist() == batch({"path": path})["speaker"].tolist()


def test_what_it_cannot_use_is_refused(batch, trunk_path):
    with pytest.raises(UsageError, match="column"):
        batch({"clip": ["a"]})
    with pytest.raises(NoSpeakers):
        BatchIdentifier(trunk_path, device="cpu")({"path": ["a"]})
