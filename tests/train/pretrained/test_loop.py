"""Training on top of a model file: what is computed once, what goes on, and what is refused."""

from __future__ import annotations

import os
import shutil
import signal

import numpy as np
import pytest
import torch
from voxedge.export.pipeline import export_run

from tests.conftest import RATE, SPEAKERS, voice
from tests.pretrained import WINDOW, Silent, recipe_on, train_on, write_trunk
from voxedge.audio.windows import active_windows
from voxedge.data.corpus import load_corpus
from voxedge.data.manifest import read_manifest
from voxedge.data.split import split_corpus
from voxedge.errors import Interrupted, ModelError, RunError, TrainingError, UsageError
from voxedge.inference.identifier import Identifier
from voxedge.metrics import softmax
from voxedge.train.checkpoint import load_checkpoint
from voxedge.train.pretrained.loop import EMBEDDINGS
from voxedge.train.pretrained.trunk import Trunk, read_trunk
from voxedge.train.recipe import Recipe, load
from voxedge.train.trained import TrainedModel


@pytest.fixture(scope="module")
def corpus(corpus_folder):
    return load_corpus(read_manifest(corpus_folder), RATE, memory=1 << 30)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, corpus, trunk_path):
    return train_on(tmp_path_factory.mktemp("runs") / "run", corpus, recipe_on(trunk_path))


@pytest.fixture
def calls(monkeypatch):
    """How many windows the trunk has embedded, batch by batch."""
    counted, embed = [], Trunk.embed

    def counting(trunk, batch):
        counted.append(len(batch.keys))
        return embed(trunk, batch)

    monkeypatch.setattr(Trunk, "embed", counting)
    return counted


def weights(folder):
    return load_checkpoint(folder / "model.safetensors").tensors


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_folder_has_the_trunk_and_all_else(finished, trunk_path):
    run, metrics = finished
    assert {path.name for path in run.folder.iterdir()} == {
        *("recipe.toml", "corpus.json", "split.csv", "labels.json", "history.csv"),
        *("metrics.json", "curves.png", "model.safetensors", "model.json", "trunk.onnx"),
    }
    assert run.trunk.read_bytes() == trunk_path.read_bytes()
    assert run.recipe().frontend.window_seconds == WINDOW
    assert metrics["test"]["top1"]["value"] > 0.6  # chance is a quarter
    assert metrics["epochs"] == 20


def test_a_finished_run_answers_as_its_parts_do(finished, corpus):
    run, metrics = finished
    clip = voice(SPEAKERS["cleo"], 1.1, 77)
    (scores,) = TrainedModel(run, "cpu").score([("clip", clip)])
    identifier = Identifier(run.trunk, device="cpu", threads=1)
    head = {
        name.removeprefix("head."): value.numpy() for name, value in weights(run.folder).items()
    }
    probabilities = []
    for window in active_windows(clip, round(WINDOW * RATE), RATE):
        embedding = identifier.run(window[None]).embedding
        features = embedding @ head["neck.weight"].T + head["neck.bias"]
        features /= np.linalg.norm(features)
        directions = head["head.weight"] / np.linalg.norm(head["head.weight"], axis=1)[:, None]
        logits = run.recipe().loss.scale * features @ directions.T
        probabilities.append(softmax(logits / metrics["temperature"])[0])
    np.testing.assert_allclose(scores.probabilities, np.mean(probabilities, axis=0), atol=1e-4)
    own = next(identifier.score([("clip", clip)])).embedding
    np.testing.assert_allclose(scores.embedding, own, atol=1e-5)


def test_embeddings_are_computed_once(tmp_path, corpus, trunk_path, calls):
    recipe = recipe_on(trunk_path)
    train_on(tmp_path / "first", corpus, recipe)
    split, window = split_corpus(corpus.entries, 0.6, 0.2), round(WINDOW * RATE)
    entries = {side: split.of(corpus.entries, side) for side in ("train", "validation", "test")}
    clips = {side: len(entries[side]) for side in entries}
    whole = [
        len(active_windows(corpus.samples(entry), window, RATE))
        for side in ("validation", "test")
        for entry in entries[side]
    ]
    assert sum(calls) == sum(whole) + 2 * clips["train"] + 3 * clips["validation"]
    calls.clear()
    run, _ = train_on(tmp_path / "other seed", corpus, recipe_on(trunk_path, training__seed=1))
    assert not calls
    assert not torch.equal(
        weights(run.folder)["head.head.weight"], weights(tmp_path / "first")["head.head.weight"]
    )
    train_on(tmp_path / "more copies", corpus, recipe_on(trunk_path, augment__copies=2))
    assert sum(calls) == clips["train"]  # the second copy alone
    calls.clear()
    train_on(tmp_path / "louder", corpus, recipe_on(trunk_path, augment__snr_low=-5.0))
    assert sum(calls) > clips["train"]  # other copies altogether


class Stopper(Silent):
    """Sends a signal once so many clips are embedded, or after an epoch."""

    def __init__(self, clips=None, epoch=None):
        self.clips, self.at_epoch = clips, epoch

    def embedded(self, done, clips):
        if self.clips is not None and done >= self.clips:
            self.clips = None
            os.kill(os.getpid(), signal.SIGINT)

    def epoch(self, row, epochs):
        if row["epoch"] == self.at_epoch:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("stopper", [{"clips": 25}, {"epoch": 2}])
def test_a_stopped_training_goes_on_to_the_same_weights(
    tmp_path, corpus, trunk_path, finished, calls, stopper
):
    recipe = recipe_on(trunk_path)
    with pytest.raises(Interrupted, match="--resume"):
        train_on(tmp_path / "runs" / "run", corpus, recipe, Stopper(**stopper))
    before = sum(calls)
    assert before
    run, _ = train_on(tmp_path / "runs" / "run", corpus, recipe, resume=True)
    assert_equal(weights(run.folder), weights(finished[0].folder))
    once = sum(calls) - before
    assert once < 100 if "clips" in stopper else once == 0  # what was on disk is not done again


def test_a_run_needs_the_named_file_no_longer(tmp_path, corpus, trunk_path):
    moved = shutil.copy(trunk_path, tmp_path / "moved.onnx")
    recipe = recipe_on(moved)
    run, _ = train_on(tmp_path / "run", corpus, recipe)
    moved.unlink()
    train_on(tmp_path / "run", corpus, recipe, resume=True)
    TrainedModel(run, "cpu")
    run.trunk.unlink()
    with pytest.raises(RunError, match=r"has no trunk\.onnx, and there is no .*moved\.onnx"):
        train_on(tmp_path / "run", corpus, recipe, resume=True)
    with pytest.raises(RunError, match="has not ended"):  # its metrics went with the new training
        TrainedModel(run, "cpu")


def test_a_damaged_or_replaced_trunk_is_refused(tmp_path, corpus, trunk_path, finished):
    run, _ = finished
    own = run.trunk.read_bytes()
    other = type(run)(shutil.copytree(run.folder, tmp_path / "run"))
    other.trunk.unlink()
    with pytest.raises(RunError, match=r"has no trunk\.onnx"):
        TrainedModel(other, "cpu")
    damaged = bytearray(own)
    damaged[len(own) // 2] ^= 1
    other.trunk.write_bytes(damaged)
    with pytest.raises(ModelError, match="damaged"):
        TrainedModel(other, "cpu")
    state = load_checkpoint(run.model).state
    assert state["trunk"] == read_trunk(trunk_path).metadata.digest


def test_damaged_embeddings_are_computed_anew(tmp_path, corpus, trunk_path, finished, calls):
    train_on(tmp_path / "run", corpus, recipe_on(trunk_path))
    calls.clear()
    stored = sorted((tmp_path / EMBEDDINGS).glob("*/train-*.npz"))
    stored[0].write_bytes(stored[0].read_bytes()[:100])
    run, _ = train_on(tmp_path / "again", corpus, recipe_on(trunk_path))
    assert 0 < sum(calls) < 100
    assert_equal(weights(run.folder), weights(finished[0].folder))


def test_files_that_are_no_trunk_are_refused(tmp_path, finished, trunk_path):
    with pytest.raises(UsageError, match=r"there is no file .*nowhere\.onnx"):
        read_trunk(tmp_path / "nowhere.onnx")
    export_run(finished[0], tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="names 4 speakers"):
        read_trunk(tmp_path / "model.onnx")
    (tmp_path / "damaged.onnx").write_bytes(trunk_path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="damaged"):
        read_trunk(tmp_path / "damaged.onnx")


def test_values_without_an_effect_are_refused(trunk_path):
    recipe = recipe_on(trunk_path)
    for key in ("frontend.sample_rate", "model.width", "model.init", "loss.refit", "augment.speed"):
        with pytest.raises(UsageError, match=rf"{key} would do nothing .*its own front end"):
            recipe.refuse_idle([key])
    recipe.refuse_idle(["augment.copies", "augment.noise", "loss.margin", "model.trunk"])
    with pytest.raises(UsageError, match=r"augment\.copies would do nothing"):
        load("default").refuse_idle(["augment.copies"])
    with pytest.raises(UsageError, match="0 to 1,000"):
        recipe.with_values({"augment.copies": -1})


def test_without_copies_and_with_a_linear_head(tmp_path, corpus, trunk_path, calls):
    changes = {"loss__head": "linear", "loss__margin": 0.0}
    recipe = recipe_on(trunk_path, augment__copies=0, **changes)
    run, metrics = train_on(tmp_path / "run", corpus, recipe)
    assert metrics["test"]["top1"]["value"] > 0.6
    assert isinstance(run.recipe(), Recipe)
    assert "head.head.bias" in weights(run.folder)


def test_a_loss_that_is_not_finite_stops(tmp_path, corpus, trunk_path):
    changes = {"loss__center": "paper", "optimizer__center_learning_rate": 1e30}
    recipe = recipe_on(trunk_path, **changes)
    with pytest.raises(TrainingError, match="in epoch 1"):
        train_on(tmp_path / "run", corpus, recipe)


def test_the_file_decides_the_rate(tmp_path):
    recipe = recipe_on(write_trunk(tmp_path / "narrow.onnx", rate=8_000))
    assert recipe.frontend.sample_rate == 8_000
    assert recipe.frontend.window_seconds == WINDOW
