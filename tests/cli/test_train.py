"""``voxedge train``."""

from __future__ import annotations

import json

import pytest

from tests.conftest import voxedge, write_corpus


def test_train_tells_how_it_goes_and_what_to_type_next(workshop):
    log = (workshop / "train.log").read_text()
    assert "4 speakers, 32 clips" in log
    assert "split 4 speakers by utterance" in log
    assert "epoch   1/10" in log
    assert "epoch  10/10" in log
    assert "test: top-1 " in log
    assert "95 % intervals" in log
    assert "next: voxedge export model.onnx" in log
    assert (workshop / "runs" / "latest" / "metrics.json").is_file()


def test_every_flag_reaches_the_recipe(here, tmp_path):
    write_corpus(tmp_path / "data", clips=4)
    flags = {
        "--epochs": ("training.epochs", 1),
        "--batch-size": ("training.batch_size", 4),
        "--seed": ("training.seed", 7),
        "--image-size": ("frontend.image_size", 32),
        "--speakers": ("data.speakers", 3),
        "--train-size": ("data.train_size", 0.5),
        "--val-size": ("data.val_size", 0.25),
        "--loss": ("loss.center", "split"),
        "--center-form": ("loss.center", "split"),
        "--center-weight": ("loss.center_weight", 0.5),
        "--center-optimizer": ("optimizer.center_optimizer", "adam"),
        "--center-learning-rate": ("optimizer.center_learning_rate", 0.01),
        "--optimizer": ("optimizer.name", "adam"),
        "--learning-rate": ("optimizer.learning_rate", 0.02),
        "--beta1": ("optimizer.beta1", 0.8),
        "--beta2": ("optimizer.beta2", 0.9),
        "--epsilon": ("optimizer.epsilon", 1e-7),
        "--step-size": ("optimizer.step_size", 3),
        "--gamma": ("optimizer.gamma", 0.2),
        "--init": ("model.init", "random"),
    }
    words = [
        str(word)
        for flag, (_, value) in flags.items()
        for word in (flag, "center" if flag == "--loss" else value)
    ]
    done = here("train", *words, "--set", "optimizer.schedule=step")
    assert done.returncode == 0, done.stderr
    from voxedge.train.run import find_run

    made = find_run(tmp_path / "runs").recipe().to_dict()
    for key, value in flags.values():
        section, name = key.split(".")
        assert made[section][name] == value
    assert len(find_run(tmp_path / "runs").labels()) == 3
    log = json.loads((tmp_path / "runs/latest/last.json").read_text())
    assert log["position"]["history"][0]["learning_rate"] == 0.02


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--step-size", "3"], "optimizer.step_size would do nothing"),
        (
            ["--loss", "cross-entropy", "--center-weight", "2"],
            "center_weight would do nothing",
        ),
        (["--optimizer", "sgd", "--beta2", "0.9"], "optimizer.beta2 would do nothing"),
        (["--resume", "--recipe", "default"], "only --epochs may change"),
        (["--data", "elsewhere"], "--data goes with --resume"),
        (["--recipe", "bad.toml"], "not a recipe"),
        (["--init", "nowhere.pth"], "there is no file nowhere.pth"),
        (["--set", "model.trunk=vgg"], "there is no trunk 'vgg'"),
    ],
)
def test_flags_that_make_no_sense_are_refused_and_leave_nothing(here, tmp_path, flags, message):
    write_corpus(tmp_path / "data", clips=3)
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe\x00")
    done = here("train", *flags)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert not (tmp_path / "runs").exists()


def test_the_centers_form_of_a_recipe_is_kept():
    from voxedge.cli.train import _center_form
    from voxedge.train.recipe import load

    assert _center_form("center", None, load("seed-ccl-adam")) == "seed"
    assert _center_form("center", None, load("seed-baseline")) == "paper"
    assert _center_form("cross-entropy", None, load("default")) == "none"
    assert _center_form(None, None, load("default")) is None


def test_a_resumed_training_keeps_its_number_of_threads(tmp_path):
    write_corpus(tmp_path / "data", clips=3)
    quick = ["--recipe", "seed-baseline", "--init", "random", "--image-size", "32"]
    patient = {"OMP_WAIT_POLICY": "passive"}  # more threads than processors: nobody waits actively
    options = {"cwd": tmp_path, "extra": patient}
    begun = voxedge("train", "--epochs", "1", "--threads", "3", *quick, **options)
    assert "on cpu with 3 threads" in begun.stderr, begun.stderr
    resumed = voxedge("train", "--resume", "--epochs", "2", **options)
    assert "on cpu with 3 threads" in resumed.stderr, resumed.stderr
