"""Several processes that train together, over gloo."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from tests.train.recipes import small
from voxedge.errors import UsageError
from voxedge.train.checkpoint import load_checkpoint
from voxedge.train.launch import choose_kind, processes_of
from voxedge.train.process_group import ALONE, refuse_uneven
from voxedge.train.run import find_run

ROOT = Path(__file__).parents[2]
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
RECIPE = small(
    model={"statistics": True},
    loss={"center": "paper", "auxiliary_heads": True},
    optimizer={"learning_rate": 1e-3},
    augment={"frequency_mask": 0.15},
    training={"epochs": 14, "batch_size": 8, "average": 0.9, "frozen": 0.1},
    data={"train_size": 0.6, "val_size": 0.2},
)

needs_fabric = pytest.mark.skipif(
    importlib.util.find_spec("lightning_fabric") is None, reason="the extra distributed is missing"
)


def python(*arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """Start ``python -m``, with a thread for each process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, env=environment, **pipes)


@pytest.fixture
def folder(tmp_path, corpus_folder):
    (tmp_path / "recipe.toml").write_text(RECIPE.to_toml())
    (tmp_path / "data").symlink_to(corpus_folder)
    return tmp_path


@needs_fabric
def test_what_a_group_promises(tmp_path):
    process = python(*TORCHRUN, "-m", "tests.train.group_checks", cwd=ROOT)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err


@needs_fabric
def test_torchrun_trains_as_well_as_one_process(folder, here):
    words = ("train", "data", "--recipe", "recipe.toml", "--threads", "1")
    process = python(*TORCHRUN, "-m", "voxedge", *words, "--runs", "two", cwd=folder)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "on 2 x cpu with 1 thread" in err
    assert "warning" not in err
    assert err.count("epoch   1/14") == out.count("test: top-1") == 1  # one process tells
    one = here(*words, "--runs", "one")
    assert one.returncode == 0, one.stderr
    pair, single = (find_run(folder / name) for name in ("two", "one"))
    histories = [(run.folder / "history.csv").read_text().splitlines() for run in (pair, single)]
    assert histories[0][0] == histories[1][0]
    assert len(histories[0]) == len(histories[1]) == 15
    assert [run.metrics()["device"] for run in (pair, single)] == ["2 x cpu", "cpu"]
    top1 = [run.metrics()["test"]["top1"] for run in (pair, single)]
    assert top1[0]["value"] > 0.6  # chance is a quarter
    assert top1[1]["low"] <= top1[0]["value"] <= top1[1]["high"]


@needs_fabric
def test_a_signal_stops_all_with_equal_states_and_one_process_goes_on(folder, here):
    words = ("train", "data", "--recipe", "recipe.toml", "--epochs", "200", "--devices", "2")
    process = python("tests.train.with_digests", *words, cwd=folder)
    others = []
    for line in process.stderr:
        if line.startswith("epoch   2/200"):
            others = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGTERM)
            break
    _, err = process.communicate(timeout=240)
    assert process.returncode == 143, err
    assert err.count("all saved (go on with: voxedge train --resume") == 1
    assert len(others) == 1
    assert psutil.wait_procs(others, timeout=30)[1] == []
    first, second = ((folder / f"digest-{rank}").read_text() for rank in (0, 1))
    assert first == second
    saved = load_checkpoint(find_run(folder / "runs").last).state["position"]
    assert saved["epoch"] >= 2
    resumed = here("train", "--resume", "--epochs", str(saved["epoch"] + 1), "--threads", "1")
    assert resumed.returncode == 0, resumed.stderr
    assert find_run(folder / "runs").metrics()["epochs"] == saved["epoch"] + 1


@needs_fabric
def test_a_process_that_was_lost_is_named():
    from voxedge.train.fabric import FabricGroup

    children = [subprocess.Popen([sys.executable, "-c", code]) for code in ("", "exit(7)")]
    launcher = SimpleNamespace(procs=list(children))
    group = object.__new__(FabricGroup)  # which has started these two
    group._fabric = SimpleNamespace(strategy=SimpleNamespace(launcher=launcher))
    group._children = []
    for child in children:
        child.wait()
    closed = RuntimeError("Connection closed by peer")
    assert str(group.cause_of(closed)).startswith("process 2 has ended with exit code 7")
    assert launcher.procs == []  # Fabric would kill this process
    group._children = children[:1]
    assert group.cause_of(closed) is closed


def test_devices_and_torchrun_are_not_asked_for_together(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert processes_of(None) == 1
    assert processes_of(3) == 3
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert processes_of(None) == 4
    with pytest.raises(UsageError, match="torchrun starts the processes"):
        processes_of(2)


@pytest.mark.parametrize(
    ("name", "gpus", "message"),
    [
        ("cuda", 1, "2 devices: this machine has 1 GPU$"),
        ("cuda:1", 2, "cannot be shared by 2 processes"),
        ("meta", 0, "cannot be shared by 2 processes"),
    ],
)
def test_devices_that_are_not_there_are_refused(monkeypatch, name, gpus, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: None)  # on a device that is not there
    with pytest.raises(UsageError, match=message):
        choose_kind(name, 2)
    assert choose_kind("cpu", 2) == torch.device("cpu")


def test_batches_that_cannot_be_shared_are_refused():
    even = small(training={"batch_size": 8})
    refuse_uneven(even, 1)
    refuse_uneven(even, 4)
    refuse_uneven(small(training={"batch_size": 7}), 1)
    for batch, processes, hint in ((8, 3, 9), (8, 8, 16), (7, 2, 8)):
        with pytest.raises(UsageError, match=f"of {batch} clips") as refused:
            refuse_uneven(small(training={"batch_size": batch}), processes)
        assert refused.value.hint == f"--batch-size {hint}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--devices", "3", "--recipe", "recipe.toml"], "cannot be shared equally by 3 devices"),
        (["--devices", "2", "--trunk", "net.onnx"], "on top of a model file one process trains"),
        (["--devices", "2", "--device", "abacus"], "abacus"),
    ],
)
def test_what_several_devices_cannot_train_is_refused_at_once(folder, here, words, message):
    done = here("train", "data", *words)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert not (folder / "runs").exists()


def test_without_fabric_the_extra_is_named(folder, here, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    monkeypatch.delitem(sys.modules, "voxedge.train.fabric", raising=False)
    done = here("train", "data", "--recipe", "recipe.toml", "--devices", "2")
    assert done.returncode == 2, done.stderr
    assert "this needs lightning_fabric" in done.stderr
    assert "[distributed]" in done.stderr


def test_one_process_needs_no_fabric(tmp_path):
    code = "import sys, voxedge.train.loop, voxedge.train.launch; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "voxedge.train.process_group" in done.stdout.split()
    assert not [name for name in done.stdout.split() if name.startswith("lightning")]


def test_a_group_of_one_changes_nothing():
    rows = torch.ones(2, 3, requires_grad=True)
    linear = torch.nn.Linear(3, 1)
    assert ALONE.gather(rows) is rows
    assert ALONE.wrap(linear) is linear
    assert ALONE.largest(15) == 15
    assert ALONE.on_first(lambda: "done") == "done"
    with pytest.raises(UsageError), ALONE.agreed():
        raise UsageError("as it is")
