from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import signal
import subprocess
import sys

import psutil
import pytest
import torch
import torchvision

from tests.conftest import RATE, voxedge
from tests.train.recipes import small
from voxedge.data.corpus import load_corpus
from voxedge.data.manifest import read_manifest
from voxedge.data.split import split_corpus
from voxedge.errors import Interrupted, RunBusy, RunError, TrainingError
from voxedge.nn.frontend import SIGNAL_PATH
from voxedge.train import calibrate, loop, objective
from voxedge.train.build import load_net
from voxedge.train.checkpoint import load_checkpoint, save_checkpoint, tensors_digest
from voxedge.train.loop import best_epoch
from voxedge.train.run import Run, locked
from voxedge.train.scorer import score
from voxedge.train.temperature import fit_temperature

TINY = small(
    loss={"center": "paper", "margin": 0.2},
    optimizer={"learning_rate": 1e-3},
    augment={"speed": 0.1, "noise": 0.5, "rooms": 0.3, "frequency_mask": 0.15},
    training={"epochs": 3, "batch_size": 6, "average": 0.9},
)


class Watcher:
    """A reporter that keeps what it gets, and can send a signal at a step of an epoch."""

    def __init__(self, stop_at: tuple[int, int] | None = None, signum: int = signal.SIGINT):
        self.stop_at, self.signum = stop_at, signum
        self.steps, self.epochs = [], []

    def step(self, progress):
        self.steps.append(progress)
        if (progress.epoch, progress.step) == self.stop_at:
            os.kill(os.getpid(), self.signum)

    def epoch(self, row, epochs):
        self.epochs.append(row)


@pytest.fixture(scope="module")
def corpus(corpus_folder):
    return load_corpus(read_manifest(corpus_folder), RATE, memory=1 << 30)


def run_training(folder, corpus, recipe=TINY, watcher=None, resume=False):
    run = Run(folder)
    split = split_corpus(corpus.entries, 0.6, 0.2)
    if not resume:
        run.describe(recipe, corpus, split)
    watcher = watcher or Watcher()
    metrics = loop.train(
        recipe, corpus, split, run, watcher, device=torch.device("cpu"), bf16=False, resume=resume
    )
    return run, metrics, watcher


@pytest.fixture(scope="module")
def finished(tmp_path_factory, corpus):
    return run_training(tmp_path_factory.mktemp("runs") / "finished", corpus)


def test_a_run_folder_holds_everything(finished):
    run, metrics, watcher = finished
    names = {path.name.split(".tfevents")[0] for path in run.folder.iterdir()}
    assert names == {
        *("recipe.toml", "corpus.json", "split.csv", "labels.json", "history.csv"),
        *("metrics.json", "curves.png", "best.safetensors", "best.json"),
        *("last.safetensors", "last.json", "model.safetensors", "model.json", "events.out"),
    }
    assert (run.folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert run.recipe() == TINY
    assert run.metrics() == json.loads(json.dumps(metrics))
    assert len(watcher.epochs) == 3
    lines = (run.folder / "history.csv").read_text().splitlines()
    assert len(lines) == 4
    assert {"train_loss", "intra", "inter", "val_top1", "val_top5"} <= set(lines[0].split(","))


def test_the_metrics_are_consistent(finished):
    _, metrics, watcher = finished
    test = metrics["test"]
    assert 0 <= test["top1"]["low"] <= test["top1"]["value"] <= test["top1"]["high"] <= 1
    assert test["top1"]["value"] <= test["top5"]["value"] == 1.0  # four speakers
    assert 0.05 <= metrics["temperature"] <= 20
    last = watcher.steps[-1]
    assert (last.epoch, last.step) == (last.epochs, last.steps)
    assert last.seconds_left == pytest.approx(0)
    assert all(step.clips_per_second > 0 for step in watcher.steps)


def test_training_learns(corpus, tmp_path):
    recipe = small(
        model={"statistics": True},
        loss={"auxiliary_heads": True},
        optimizer={"learning_rate": 1e-3},
        training={"epochs": 14, "batch_size": 6, "average": 0.9},
    )
    run, metrics, watcher = run_training(tmp_path / "run", corpus, recipe)
    assert watcher.epochs[-1]["train_loss"] < 0.6 * watcher.epochs[0]["train_loss"]
    assert metrics["test"]["top1"]["value"] > 0.6  # chance is a quarter
    validation = split_corpus(corpus.entries, 0.6, 0.2).of(corpus.entries, "validation")
    scores = score(load_net(run), corpus, validation, torch.device("cpu"))
    fitted = fit_temperature(scores.logits, scores.truth, scores.clip_index)
    assert metrics["temperature"] == pytest.approx(fitted, rel=1e-3)


@pytest.mark.parametrize(
    ("top1", "clips", "epoch"),
    [
        ([0.2, 0.7, 0.9, 0.9], 100, 4),
        ([0.2, 0.97, 0.9633, 0.9633], 300, 4),  # two clips of 300 are chance
        ([0.2, 0.97, 0.9633, 0.9], 300, 3),
        ([0.2, 0.97, 0.9, 0.9], 300, 2),  # twenty are not
        ([0.2, 1.0, 0.9], 10, 3),  # one of ten is
        ([0.2, 1.0, 0.5], 10, 2),
        ([0.0, 0.0], 10, 2),
    ],
)
def test_the_best_epoch_is_the_last_that_is_not_significantly_worse(top1, clips, epoch):
    history = [{"epoch": n, "val_top1": share} for n, share in enumerate(top1, 1)]
    assert best_epoch(history, clips) == epoch


def test_the_network_that_is_measured_is_the_one_of_the_best_epoch(finished):
    run, metrics, watcher = finished
    best = load_checkpoint(run.best)
    assert best.state["position"]["epoch"] == metrics["best_epoch"]
    row = watcher.epochs[metrics["best_epoch"] - 1]
    assert metrics["validation"] == {name: row[name] for name in metrics["validation"]}
    net = load_net(run).state_dict()
    name = "trunk.conv1.weight"
    assert torch.equal(net[name], best.tensors[f"net.{name}"])


def test_the_same_seed_gives_the_same_weights(finished, corpus, tmp_path):
    run, _, _ = finished
    again, _, _ = run_training(tmp_path / "again", corpus)
    assert digest(run) == digest(again)
    assert (run.folder / "history.csv").read_bytes() == (again.folder / "history.csv").read_bytes()
    other, _, _ = run_training(tmp_path / "other", corpus, TINY.with_values({"training.seed": 1}))
    assert digest(run) != digest(other)


@pytest.mark.parametrize("stop_at", [(1, 1), (2, 2), (2, "last"), (3, "last")])
def test_a_stop_changes_no_weight(finished, corpus, tmp_path, stop_at):
    run, _, whole = finished
    steps = whole.steps[-1].steps
    assert steps > 2
    stop_at = (stop_at[0], steps if stop_at[1] == "last" else stop_at[1])
    with pytest.raises(Interrupted, match="--resume") as stopped:
        run_training(tmp_path / "run", corpus, watcher=Watcher(stop_at))
    assert stopped.value.status == 130
    resumed, _, _ = run_training(tmp_path / "run", corpus, resume=True)
    assert digest(resumed) == digest(run)
    assert (resumed.folder / "history.csv").read_text() == (run.folder / "history.csv").read_text()


def test_a_stop_during_validation_is_obeyed_at_once(finished, corpus, tmp_path, monkeypatch):
    run, _, _ = finished
    real = calibrate.score

    def stopping(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(calibrate, "score", stopping)
    with pytest.raises(Interrupted) as stopped:
        run_training(tmp_path / "run", corpus)
    assert stopped.value.status == 143
    monkeypatch.undo()
    assert load_checkpoint(tmp_path / "run" / "last.safetensors").state["position"]["epoch"] == 0
    resumed, _, _ = run_training(tmp_path / "run", corpus, resume=True)
    assert digest(resumed) == digest(run)
    assert (resumed.folder / "history.csv").read_text() == (run.folder / "history.csv").read_text()


def test_a_stop_after_the_last_epoch_says_so(finished, corpus, tmp_path, monkeypatch):
    real = loop.calibrate

    def stopping(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(loop, "calibrate", stopping)
    with pytest.raises(Interrupted, match="after the last epoch"):
        run_training(tmp_path / "run", corpus)
    monkeypatch.undo()
    resumed, _, _ = run_training(tmp_path / "run", corpus, resume=True)
    assert digest(resumed) == digest(finished[0])


def test_resuming_does_not_need_the_initial_weights(corpus, tmp_path):
    weights = tmp_path / "weights.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), weights)
    recipe = TINY.with_values({"model.init": str(weights), "model.width": 1.0})
    with pytest.raises(Interrupted):
        run_training(tmp_path / "run", corpus, recipe, Watcher((1, 1)))
    weights.unlink()
    _, metrics, _ = run_training(tmp_path / "run", corpus, recipe, resume=True)
    assert metrics["epochs"] == 3


def test_a_stop_before_the_first_epoch_ends_can_be_resumed_from(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(
        objective.F, "cross_entropy", lambda logits, *_, **__: logits.sum() * float("nan")
    )
    with pytest.raises(TrainingError):
        run_training(tmp_path / "run", corpus)
    assert load_checkpoint(tmp_path / "run" / "last.safetensors").state["position"]["epoch"] == 0


def test_a_run_that_had_other_steps_goes_on_after_the_same_part_of_an_epoch(corpus, tmp_path):
    """As one of another number of processes has."""
    with pytest.raises(Interrupted):
        run_training(tmp_path / "run", corpus, watcher=Watcher((2, 2)))
    path = tmp_path / "run" / "last.safetensors"
    saved = load_checkpoint(path)
    assert saved.state["steps"] == 3
    saved.state["steps"] = 6
    save_checkpoint(path, saved.tensors, saved.state)
    _, metrics, watcher = run_training(tmp_path / "run", corpus, resume=True)
    assert (watcher.steps[0].epoch, watcher.steps[0].step) == (2, 2)  # one of three steps was done
    assert metrics["epochs"] == 3


def test_a_resumed_run_may_have_more_epochs(corpus, tmp_path):
    changes = {"optimizer.schedule": "constant", "training.epochs": 2, "loss.margin": 0.0}
    constant = TINY.with_values(changes)
    run_training(tmp_path / "run", corpus, constant)
    longer = constant.with_values({"training.epochs": 3})
    resumed, metrics, watcher = run_training(tmp_path / "run", corpus, longer, resume=True)
    assert len(watcher.epochs) == 1
    assert metrics["epochs"] == 3
    whole, _, _ = run_training(tmp_path / "whole", corpus, longer)
    assert digest(resumed) == digest(whole)


def test_resuming_another_recipe_or_corpus_is_refused(finished, corpus):
    run, _, _ = finished
    with pytest.raises(RunError, match="another recipe"):
        run_training(run.folder, corpus, TINY.with_values({"loss.delta": 2.0}), resume=True)
    smaller = dataclasses.replace(corpus, entries=corpus.entries[:-1])
    with pytest.raises(RunError, match="corpus has changed"):
        run_training(run.folder, smaller, resume=True)


def test_a_loss_that_is_not_finite_stops_before_the_step(corpus, tmp_path, monkeypatch):
    recipe = TINY.with_values({"training.epochs": 2})
    real = objective.F.cross_entropy
    calls = []

    def poisoned(logits, labels, **options):
        calls.append(1)
        return real(logits, labels, **options) * (float("nan") if len(calls) == 6 else 1)

    monkeypatch.setattr(objective.F, "cross_entropy", poisoned)
    with pytest.raises(TrainingError, match="epoch 2"):
        run_training(tmp_path / "run", corpus, recipe)
    monkeypatch.undo()
    checkpoint = load_checkpoint(tmp_path / "run" / "last.safetensors")
    assert checkpoint.state["position"]["epoch"] == 1
    assert all(
        torch.isfinite(t).all() for t in checkpoint.tensors.values() if t.is_floating_point()
    )
    run_training(tmp_path / "run", corpus, recipe, resume=True)


def test_a_run_of_another_signal_path_is_refused(finished, corpus, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(finished[0].folder, run.folder)
    for path in (run.model, run.last):
        checkpoint = load_checkpoint(path)
        assert checkpoint.state.pop("signal_path") == SIGNAL_PATH
        save_checkpoint(path, checkpoint.tensors, checkpoint.state)
    with pytest.raises(RunError, match="another front end"):
        load_net(run)
    with pytest.raises(RunError, match="another front end"):
        run_training(run.folder, corpus, resume=True)


def test_two_trainings_cannot_share_a_folder(corpus, tmp_path):
    run = Run(tmp_path / "run")
    run.describe(TINY, corpus, split_corpus(corpus.entries, 0.6, 0.2))
    with locked(run.folder), pytest.raises(RunBusy):
        run_training(tmp_path / "run", corpus)


def test_sigterm_saves_and_the_command_line_resumes(corpus_folder, tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY.to_toml())
    flags = ["--recipe", "tiny.toml", "--epochs", "200"]
    command = [sys.executable, "-m", "voxedge", "train", str(corpus_folder), *flags]
    before = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("epoch   2/200"):
            before += sum(psutil.Process(process.pid).cpu_times()[:2])
            process.send_signal(signal.SIGTERM)
            break
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 143, "".join(lines) + rest
    ending = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - before
    assert ending < 10  # seconds of processor time: service managers kill soon after
    assert "voxedge train --resume" in rest
    assert "Traceback" not in rest
    resumed = voxedge("train", "--resume", "--epochs", "4", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "epoch   4/4" in resumed.stderr
    assert "epoch   1/4" not in resumed.stderr
    assert "next: voxedge export model.onnx" in resumed.stderr
    again = voxedge("train", "--resume", cwd=tmp_path)  # the new number of epochs is the run's
    assert "epoch   5" not in again.stderr
    assert again.returncode == 0
    (tmp_path / "elsewhere").symlink_to(corpus_folder)
    moved = voxedge("train", "--resume", "--data", "elsewhere", cwd=tmp_path)
    assert moved.returncode == 0, moved.stderr


def digest(run: Run) -> str:
    return tensors_digest(load_checkpoint(run.last).tensors)


def test_a_frozen_trunk_keeps_its_weights(finished, corpus, tmp_path):
    donor, _, _ = finished
    changes = {"model.init": str(donor.folder), "training.frozen": 1.0, "training.epochs": 1}
    run, _, _ = run_training(tmp_path / "run", corpus, TINY.with_values(changes))
    before, after = (load_checkpoint(one.best).tensors for one in (donor, run))
    trunk = [name for name in before if name.startswith("net.trunk.")]
    assert len(trunk) > 100
    assert all(torch.equal(before[name], after[name]) for name in trunk)
    assert not torch.equal(before["net.head.weight"], after["net.head.weight"])


@pytest.mark.parametrize(("statistics", "noise"), [(False, 0.0), (True, 0.5)])
def test_a_discriminant_is_saved_and_resumes(corpus, tmp_path, statistics, noise):
    changes = {"loss.refit": True, "model.statistics": statistics, "training.epochs": 4}
    changes |= {"augment.noise": noise}
    recipe = TINY.with_values(changes)
    run, metrics, _ = run_training(tmp_path / "run", corpus, recipe)
    again, repeated, _ = run_training(tmp_path / "run", corpus, recipe, resume=True)
    assert metrics["test"] == repeated["test"]
    net = load_net(run)
    sides = {clip.name: clip.split for clip in run.manifest().clips}
    tested = [entry for entry in corpus.entries if sides[entry.clip.name] == "test"]
    scores = score(net, corpus, tested, torch.device("cpu"))
    kept = scores.accuracy(metrics["temperature"])["calibration_error"]
    assert kept == pytest.approx(metrics["test"]["calibration_error"], rel=1e-4)
    assert digest(again) == digest(run)


def test_without_a_test_side_nothing_is_tested_and_it_resumes(corpus, tmp_path):
    everything = {"data.train_size": 0.75, "data.val_size": 0.25, "training.epochs": 1}
    recipe = TINY.with_values(everything)
    split = split_corpus(corpus.entries, 0.75, 0.25)
    run = Run(tmp_path / "all")
    run.describe(recipe, corpus, split)
    device = torch.device("cpu")
    metrics = loop.train(recipe, corpus, split, run, Watcher(), device=device, bf16=False)
    assert metrics["test"] is None
    given = load_corpus(run.manifest(None), RATE, memory=1 << 30)
    assert split_corpus(given.entries, 0.6, 0.2).sides == split.sides
