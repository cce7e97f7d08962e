"""Checkpoints: writers that are killed, full disks, and files that are damaged or hostile."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import signal
import time

import pytest
import torch

from voxedge import files
from voxedge.errors import RunError
from voxedge.train.checkpoint import (
    load_checkpoint,
    save_checkpoint,
)

TENSORS = {"a": torch.arange(200_000.0), "b": torch.tensor(3)}


def test_a_kill_at_any_moment_leaves_a_checkpoint_that_loads(tmp_path):
    path = tmp_path / "x.safetensors"

    def save_forever():
        for epoch in range(10**9):
            save_checkpoint(path, TENSORS, {"epoch": epoch})

    save_checkpoint(path, TENSORS, {"epoch": -1})
    random.seed(0)
    seen = set()
    for _ in range(20):
        process = multiprocessing.get_context("fork").Process(target=save_forever)
        process.start()
        time.sleep(random.uniform(0.01, 0.12))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        seen.add(load_checkpoint(path).state["epoch"])
    assert len(seen) > 1  # it saved in between


def test_a_full_disk_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, TENSORS, {"epoch": 1})

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, TENSORS, {"epoch": 2})
    assert load_checkpoint(path).state["epoch"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.json", "x.safetensors"]


@pytest.mark.parametrize("place", [9, 5_000, 700_000, -1, "state"])
def test_a_flipped_bit_is_found(tmp_path, place):
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, TENSORS, {"epoch": 3})
    data = bytearray(path.read_bytes())
    if place == "state":
        place = data.index(b"epoch") + len(b'epoch\\": ')
        assert data[place : place + 1] == b"3"
        data[place] ^= 1  # a 2
    else:
        data[place] ^= 4
    path.write_bytes(data)
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"\x00", b"{}", b"\xff" * 64])
def test_what_is_not_a_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(RunError, match="not a voxedge checkpoint"):
        load_checkpoint(tmp_path / "x.safetensors")


def test_a_malicious_pickle_is_never_executed(tmp_path):
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return open, (str(tmp_path / "harm"), "w")

    (tmp_path / "x.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(RunError, match="not a voxedge checkpoint"):
        load_checkpoint(tmp_path / "x.safetensors")
    assert not (tmp_path / "harm").exists()


def test_a_truncated_checkpoint_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, TENSORS, {})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RunError):
        load_checkpoint(path)
