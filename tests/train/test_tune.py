from __future__ import annotations

import csv
import signal

import pytest
import torch

from tests.conftest import RATE
from voxedge.data.corpus import load_corpus
from voxedge.data.manifest import read_manifest
from voxedge.data.split import split_corpus
from voxedge.errors import Interrupted, RunBusy, TrainingError, UsageError
from voxedge.train import tune
from voxedge.train.recipe import Recipe, load
from voxedge.train.run import locked

TINY = Recipe.from_dict(
    {
        "name": "tiny",
        "frontend": {"image_size": 32, "window_seconds": 0.5, "n_mels": 40},
        "model": {"width": 0.25},
        "training": {"epochs": 2, "batch_size": 12},
    }
)
SEARCH = ["optimizer.learning_rate=1e-5:1e-2:log", "training.batch_size=6:12"]


@pytest.fixture(scope="module")
def corpus(corpus_folder):
    return load_corpus(read_manifest(corpus_folder), RATE, memory=1 << 30)


def tuner_of(folder, corpus, search=SEARCH) -> tune.Tuner:
    dimensions = tune.parse_search(search, TINY)
    folder.mkdir(exist_ok=True)
    study = tune.open_study(folder, TINY, dimensions, corpus.digest)
    made = split_corpus(corpus.entries, 0.6, 0.2)
    device = torch.device("cpu")
    return tune.Tuner(study, TINY, dimensions, corpus, made, folder, device, False)


def faked(monkeypatch, curve):
    """Instead of trainings: ``curve(recipe, epoch)`` is the validation top-1."""

    def train(recipe, corpus, made, run, reporter, **_):
        for epoch in range(1, recipe.training.epochs + 1):
            row = dict.fromkeys(("train_loss", "val_loss", "val_top5"), 1.0)
            reporter.epoch(
                row | {"epoch": float(epoch), "val_top1": curve(recipe, epoch)},
                recipe.training.epochs,
            )
        raise AssertionError("the test split is not to be looked at")

    monkeypatch.setattr(tune, "train", train)


def test_the_command_trains_and_leaves_a_recipe(corpus_folder, tmp_path, capsys):
    options = {"device": "cpu", "precision": "fp32", "workers": 0, "memory": 1 << 30}
    options |= {"out": tmp_path / "tune", "trials": 2, "hours": None, "strict": False}
    tune.tune_command(corpus_folder, TINY, SEARCH, **options)
    said = capsys.readouterr()
    names = {path.name for path in (tmp_path / "tune").iterdir()}
    assert names == {"study.journal", "trials.csv", "best.toml", ".lock"}  # and no weights
    assert load(str(tmp_path / "tune" / "best.toml")).name == "tiny-tuned"
    assert "best: trial" in said.out
    assert f"next: voxedge train {corpus_folder} --recipe" in said.err
    tune.tune_command(corpus_folder, TINY, SEARCH, **options)  # the budget is spent
    assert "2 trials so far" in capsys.readouterr().err
    with locked(options["out"]), pytest.raises(RunBusy):
        tune.tune_command(corpus_folder, TINY, SEARCH, **options)


def test_a_search_goes_on_where_it_was(corpus, tmp_path, monkeypatch):
    tried = []

    def curve(recipe, _):
        tried.append(recipe)
        return 0.9 + recipe.optimizer.learning_rate

    faked(monkeypatch, curve)
    tuner_of(tmp_path, corpus).search(1, None, 0)
    assert tried[0] == TINY.with_values({"training.batch_size": 12})  # as it stands: to be beaten
    tuner = tuner_of(tmp_path, corpus)
    tuner.search(3, None, 0)
    tuner.conclude()
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["trial"] for row in rows) == ["0", "1", "2"]
    figures = [float(row["val_top1"]) for row in rows]
    assert figures == sorted(figures, reverse=True)
    best = load(str(tmp_path / "best.toml"))
    assert best.optimizer.learning_rate == float(rows[0]["optimizer.learning_rate"])
    assert len({row["optimizer.learning_rate"] for row in rows}) == 3


def test_what_is_worse_than_the_median_is_stopped(corpus, tmp_path, monkeypatch):
    seen = []

    def curve(recipe, epoch):
        seen.append(epoch)
        return 0.5 if len(seen) <= 10 else 0.1

    faked(monkeypatch, curve)
    tuner = tuner_of(tmp_path, corpus)
    tuner.search(6, None, 0)
    assert [trial.state.name for trial in tuner.ended()] == ["COMPLETE"] * 5 + ["PRUNED"]
    assert seen[-2:] == [2, 1]


def test_a_stop_keeps_the_trial_for_later_and_a_divergence_counts(corpus, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise Interrupted(signal.SIGINT, "stopped")

    monkeypatch.setattr(tune, "train", stopped)
    with pytest.raises(Interrupted):
        tuner_of(tmp_path, corpus).search(2, None, 0)

    def diverged(recipe, *_, **__):
        assert recipe.optimizer == TINY.optimizer  # the same trial again
        raise TrainingError("the loss is nan")

    monkeypatch.setattr(tune, "train", diverged)
    tuner = tuner_of(tmp_path, corpus)
    tuner.search(1, None, 0)
    assert [trial.state.name for trial in tuner.ended()] == ["PRUNED"]
    assert tuner.best() is None


def test_a_trial_that_was_killed_is_tried_again(corpus, tmp_path):
    tuner = tuner_of(tmp_path, corpus)
    killed = tuner.study.ask()
    values = {d.key: d.suggest(killed) for d in tuner.dimensions}
    again = tuner_of(tmp_path, corpus)
    assert again.ended() == []
    trial = again.study.ask()
    assert {d.key: d.suggest(trial) for d in again.dimensions} == values


def test_hours_end_it_too(corpus, tmp_path, monkeypatch):
    faked(monkeypatch, lambda *_: 0.5)
    tuner = tuner_of(tmp_path, corpus)
    tuner.search(5, 0.0, 0)
    assert tuner.ended() == []


def test_a_study_goes_on_when_recipes_have_learned_a_new_value(corpus, tmp_path):
    study = tuner_of(tmp_path, corpus).study
    for about, refused in (({"trunk": "resnet18", "init": "random"}, False), ({"knots": 3}, True)):
        study.set_user_attr("recipe", TINY.to_dict() | {"model": about})
        wide = TINY.with_values({"model.width": 1.0})
        begun = (tmp_path, wide, tune.parse_search(SEARCH, wide), corpus.digest)
        if refused:
            with pytest.raises(UsageError, match="another recipe"):
                tune.open_study(*begun)
        else:
            tune.open_study(*begun)


def test_a_study_of_something_else_is_left_alone(corpus, tmp_path):
    tuner_of(tmp_path, corpus)
    with pytest.raises(UsageError, match="another search"):
        tuner_of(tmp_path, corpus, SEARCH[:1])


def test_a_search_is_read():
    found = tune.parse_search(
        [
            *("optimizer.name=adam,sgd", "training.epochs=2:9", "loss.delta=0.1:1:log"),
            *("optimizer.name=adamw", "model.init=random"),
        ],
        TINY,
    )
    assert found == [
        tune.Dimension("optimizer.name", choices=("adamw",)),
        tune.Dimension("training.epochs", low=2, high=9, whole=True),
        tune.Dimension("loss.delta", low=0.1, high=1, log=True),
        tune.Dimension("model.init", choices=("random",)),
    ]
    center = TINY.with_values({"loss.center": "paper"})
    assert "loss.center_weight" in [
        d.key for d in tune.parse_search(tune.default_search(center), center)
    ]
    assert len(tune.parse_search(tune.default_search(TINY), TINY)) == 2


@pytest.mark.parametrize(
    "spec",
    [
        *("optimizer.learning_rate", "optimizer.learning_rate=", "optimizer.colour=1:2"),
        *("optimizer.learning_rate=2:1", "optimizer.learning_rate=0:1", "training.epochs=1:2:3"),
        *("optimizer.name=adam,eve", "optimizer.name=adam:sgd", "training.epochs=1.5:2"),
        *("loss.delta=0:1:log", "loss.delta=1:log", "data.train_size=0.5:0.8"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(spec):
    with pytest.raises(UsageError):
        tune.parse_search([spec], TINY)
