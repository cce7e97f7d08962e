from __future__ import annotations

import pytest
import torch
from torch import nn

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
