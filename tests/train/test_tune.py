from __future__ import annotations

import csv
import signal
from contextlib import nullcontext

import pytest
import torch

from tests.conftest import RATE, voxedge
from tests.train.recipes import small
from voxedge.data.corpus import load_corpus
from voxedge.data.manifest import read_manifest
from voxedge.data.split import split_corpus
from voxedge.errors import Interrupted, TrainingError, UsageError
from voxedge.train import tune
from voxedge.train.device import Compute
from voxedge.train.recipe import load
from voxedge.train.run import locked

TINY = small(training={"epochs": 2, "batch_size": 12})
SEARCH = ["optimizer.learning_rate=1e-5:1e-2:log", "training.batch_size=6:12"]


@pytest.fixture(scope="module")
def corpus(corpus_folder):
    return load_corpus(read_manifest(corpus_folder), RATE, memory=1 << 30)


def search_of(specs=SEARCH, recipe=TINY) -> tune.Search:
    return tune.Search(recipe, tune.parse_search(specs, recipe))


def tuner_of(folder, corpus, specs=SEARCH) -> tune.Tuner:
    folder.mkdir(exist_ok=True)
    search = search_of(specs)
    return tune.Tuner(
        tune.open_study(folder, search, corpus.digest),
        search,
        corpus,
        split_corpus(corpus.entries, 0.6, 0.2),
        folder,
        Compute(torch.device("cpu"), bf16=False),
        say=lambda line: None,
        watch=lambda: nullcontext(Silent()),
    )


class Silent:
    """A reporter that shows nothing."""

    def step(self, progress):
        pass

    def epoch(self, row, epochs):
        pass


def fake_training(monkeypatch, curve):
    """Replace trainings: ``curve(recipe, epoch)`` is the validation top-1."""

    def train(recipe, corpus, split, run, reporter, **_):
        for epoch in range(1, recipe.training.epochs + 1):
            row = dict.fromkeys(("train_loss", "val_loss", "val_top5"), 1.0)
            reporter.epoch(
                row | {"epoch": float(epoch), "val_top1": curve(recipe, epoch)},
                recipe.training.epochs,
            )
        raise AssertionError("a trial must not use the test side")

    monkeypatch.setattr(tune, "train", train)


def test_the_command_trains_and_leaves_a_recipe(corpus_folder, tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY.to_toml())
    command = ["tune", corpus_folder, "--recipe", "tiny.toml", "--device", "cpu", "--trials", "2"]
    command += [flag for spec in SEARCH for flag in ("--search", spec)]
    done = voxedge(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "tune").iterdir()}
    assert names == {"study.journal", "trials.csv", "best.toml"}  # and no weights
    assert load(str(tmp_path / "tune" / "best.toml")).name == "tiny-tuned"
    assert "best: trial" in done.stdout
    assert f"next: voxedge train {corpus_folder} --recipe" in done.stderr
    again = voxedge(*command, cwd=tmp_path)  # there are two trials already
    assert "2 trials so far" in again.stderr
    with locked(tmp_path / "tune"):
        busy = voxedge(*command, cwd=tmp_path)
    assert "another process is training" in busy.stderr


def test_a_search_goes_on_where_it_was(corpus, tmp_path, monkeypatch):
    tried = []

    def curve(recipe, _):
        tried.append(recipe)
        return 0.9 + recipe.optimizer.learning_rate

    fake_training(monkeypatch, curve)
    tuner_of(tmp_path, corpus).run(1, None)
    assert tried[0] == TINY  # the recipe itself comes first
    tuner = tuner_of(tmp_path, corpus)
    tuner.run(3, None)
    tuner.write()
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["trial"] for row in rows) == ["0", "1", "2"]
    top1 = [float(row["val_top1"]) for row in rows]
    assert top1 == sorted(top1, reverse=True)
    best = load(str(tmp_path / "best.toml"))
    assert best.optimizer.learning_rate == float(rows[0]["optimizer.learning_rate"])
    assert len({row["optimizer.learning_rate"] for row in rows}) == 3


def test_what_is_worse_than_the_median_is_stopped(corpus, tmp_path, monkeypatch):
    seen = []

    def curve(recipe, epoch):
        seen.append(epoch)
        return 0.5 if len(seen) <= 10 else 0.1

    fake_training(monkeypatch, curve)
    tuner = tuner_of(tmp_path, corpus)
    tuner.run(6, None)
    assert [trial.state.name for trial in tuner.ended()] == ["COMPLETE"] * 5 + ["PRUNED"]
    assert seen[-2:] == [2, 1]


def test_a_stopped_trial_is_repeated_and_a_diverged_one_counts(corpus, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise Interrupted(signal.SIGINT, "stopped")

    monkeypatch.setattr(tune, "train", stopped)
    with pytest.raises(Interrupted):
        tuner_of(tmp_path, corpus).run(2, None)

    def diverged(recipe, *_, **__):
        assert recipe.optimizer == TINY.optimizer  # the same trial again
        raise TrainingError("the loss is nan")

    monkeypatch.setattr(tune, "train", diverged)
    tuner = tuner_of(tmp_path, corpus)
    tuner.run(1, None)
    assert [trial.state.name for trial in tuner.ended()] == ["PRUNED"]
    assert tuner.best() is None


def test_a_trial_that_was_killed_is_tried_again(corpus, tmp_path):
    tuner = tuner_of(tmp_path, corpus)
    killed = tuner.study.ask()
    values = {d.key: d.suggest(killed) for d in tuner.search.dimensions}
    again = tuner_of(tmp_path, corpus)
    assert again.ended() == []
    trial = again.study.ask()
    assert {d.key: d.suggest(trial) for d in again.search.dimensions} == values


def test_a_search_ends_after_its_hours(corpus, tmp_path, monkeypatch):
    fake_training(monkeypatch, lambda *_: 0.5)
    tuner = tuner_of(tmp_path, corpus)
    tuner.run(5, 0.0)
    assert tuner.ended() == []


def test_a_study_goes_on_when_recipes_got_new_values(corpus, tmp_path):
    study = tuner_of(tmp_path, corpus).study
    known = {"trunk": "resnet18", "init": "random", "statistics": False}  # and no width
    for model, refused in ((known, False), ({"knots": 3}, True)):
        study.set_user_attr("recipe", TINY.to_dict() | {"model": model})
        wide = TINY.with_values({"model.width": 1.0})
        begun = (tmp_path, search_of(recipe=wide), corpus.digest)
        if refused:
            with pytest.raises(UsageError, match="another recipe"):
                tune.open_study(*begun)
        else:
            tune.open_study(*begun)


def test_another_study_is_not_overwritten(corpus, tmp_path):
    tuner_of(tmp_path, corpus)
    with pytest.raises(UsageError, match="another search"):
        tuner_of(tmp_path, corpus, SEARCH[:1])


def test_a_search_is_parsed():
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
    assert "loss.center_weight" in search_of(tune.default_search(center), center).keys
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
def test_an_invalid_search_is_refused(spec):
    with pytest.raises(UsageError):
        tune.parse_search([spec], TINY)
