from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import signal
import time

import pytest
import torch
from torch import nn

from voxedge import files
from voxedge.errors import RunError
from voxedge.train.checkpoint import (
    load_checkpoint,
    module_tensors,
    optimizer_tensors,
    restore_module,
    restore_optimizer,
    save_checkpoint,
)

TENSORS = {"a": torch.arange(200_000.0), "b": torch.tensor(3)}


def test_round_trip(tmp_path):
    save_checkpoint(tmp_path / "x.safetensors", TENSORS, {"epoch": 3, "sums": {"loss": 0.1 + 0.2}})
    loaded = load_checkpoint(tmp_path / "x.safetensors")
    assert loaded.state == {"epoch": 3, "sums": {"loss": 0.1 + 0.2}}
    assert torch.equal(loaded.tensors["a"], TENSORS["a"])
    assert loaded.tensors["b"].item() == 3
    assert (tmp_path / "x.json").is_file()


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


@pytest.mark.parametrize("content", [b"", b"\x00", b"{}", b"\xff" * 64, pickle.dumps({"a": 1})])
def test_what_is_not_a_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(RunError, match="not a voxedge checkpoint"):
        load_checkpoint(tmp_path / "x.safetensors")


def test_a_truncated_checkpoint_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, TENSORS, {})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RunError):
        load_checkpoint(path)


def test_a_missing_checkpoint_is_reported(tmp_path):
    with pytest.raises(RunError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "x.safetensors")


def test_a_key_of_an_earlier_version_is_renamed(tmp_path):
    save_checkpoint(tmp_path / "x.safetensors", TENSORS, {"modesty": 0.25})
    assert load_checkpoint(tmp_path / "x.safetensors").state == {"duration_exponent": 0.25}


def test_another_architecture_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, module_tensors("net", nn.Linear(3, 4)), {})
    with pytest.raises(RunError, match="another architecture"):
        restore_module("net", nn.Linear(3, 5), load_checkpoint(path))


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.Adagrad, torch.optim.SGD])
def test_a_restored_optimiser_makes_the_same_steps(tmp_path, kind):
    def steps(net, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            net(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    net = nn.Linear(3, 4)
    optimizer = kind(net.parameters(), lr=0.01)
    steps(net, optimizer, 2)
    tensors = module_tensors("net", net) | optimizer_tensors("optimizer", optimizer)
    save_checkpoint(tmp_path / "x.safetensors", tensors, {})
    steps(net, optimizer, 3)
    copy = nn.Linear(3, 4)
    copied = kind(copy.parameters(), lr=0.01)
    loaded = load_checkpoint(tmp_path / "x.safetensors")
    restore_module("net", copy, loaded)
    restore_optimizer("optimizer", copied, loaded)
    steps(copy, copied, 3)
    assert torch.equal(net.weight, copy.weight)
