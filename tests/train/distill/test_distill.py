"""A tiny student learns a teacher that is known exactly: a linear map of band energies."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.conftest import RATE
from tests.train.recipes import small
from voxedge.data.corpus import load_corpus
from voxedge.data.manifest import read_manifest
from voxedge.errors import Interrupted, RunError, UsageError
from voxedge.inference.scoring import ClipScores, unit_length
from voxedge.train.checkpoint import load_checkpoint
from voxedge.train.device import Compute
from voxedge.train.distill.loop import STUDENT, Lesson, distill
from voxedge.train.distill.settings import Distillation
from voxedge.train.distill.speakers import choose_held_out, verification_error
from voxedge.train.distill.targets import Clips, centred, variation
from voxedge.train.recipe_sections import ModelRecipe
from voxedge.train.weights import build_trunk

DIM = 16
RECIPE = small(
    frontend={"image_columns": 48},
    model={"pooling": "statistics", "embedding_dim": DIM},
    augment={"noise": 0.3, "time_mask": 0.1},
    training={"batch_size": 8, "average": 0.5},
)
SETTINGS = Distillation(
    steps=6, variations=2, held_out=2, crops=(0.5, 1.0), bank=16, warm_up=2, check_every=3
)
CPU = Compute(torch.device("cpu"), bf16=False)


class Teacher:
    """Energies in bands of the spectrum."""

    sample_rate = RATE

    def __init__(self):
        self.asked = 0

    def score(self, clips):
        for key, samples in clips:
            self.asked += 1
            power = np.abs(np.fft.rfft(samples, 4096)) ** 2
            bands = np.log(power[:2048].reshape(DIM, -1).sum(axis=1) + 1e-6)
            yield ClipScores(key, 1, embedding=unit_length(bands - bands.mean()))


class Watcher:
    def __init__(self, stop_at: int = 0):
        self.stop_at, self.rows, self.done = stop_at, [], []

    def variation(self, number, variations, done, clips):
        self.done.append((number, variations, done, clips))

    def step(self, progress):
        if progress.step == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    def check(self, row):
        self.rows.append(row)


@pytest.fixture(scope="module")
def corpus(corpus_folder):
    return load_corpus(read_manifest(corpus_folder), RATE, memory=1 << 30)


def lesson(folder, corpus, settings=SETTINGS, recipe=RECIPE):
    return Lesson(recipe, settings, [corpus], Teacher(), "digest", folder)


def weights(folder):
    return load_checkpoint(folder / STUDENT).tensors


def test_a_stopped_distillation_ends_with_the_same_weights(tmp_path, corpus):
    watcher = Watcher()
    whole = lesson(tmp_path / "whole", corpus)
    rows = distill(whole, CPU, watcher)
    assert [row["step"] for row in rows] == [3, 6] == [row["step"] for row in watcher.rows]
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    clips = len(corpus.entries)
    assert watcher.done[-1] == (2, 2, clips, clips)
    assert whole.teacher.asked == 2 * clips  # once a variation, held-out speakers included

    with pytest.raises(Interrupted, match="after 4 steps"):
        distill(lesson(tmp_path / "stopped", corpus), CPU, Watcher(stop_at=4))
    assert not (tmp_path / "stopped" / STUDENT).exists()
    again = lesson(tmp_path / "stopped", corpus)
    assert distill(again, CPU, Watcher())[0] == rows[0]
    assert again.teacher.asked == 0  # the targets are on disk
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_student_comes_closer_to_its_teacher_and_can_be_started_from(tmp_path, corpus):
    settings = replace(SETTINGS, steps=60, held_out=0, check_every=20)
    recipe = RECIPE.with_values({"optimizer.learning_rate": 3e-3, "augment.noise": 0.0})
    first, *_, last = distill(lesson(tmp_path, corpus, settings, recipe), CPU, Watcher())
    assert last["cosine"] < 0.8 * first["cosine"]
    assert last["similarity"] < 0.8 * first["similarity"]
    assert np.isnan(last["eer"])
    trunk, embedding_dim = build_trunk(recipe.model, str(tmp_path / STUDENT), image_rows=32)
    assert embedding_dim == DIM
    learned = weights(tmp_path)
    assert torch.equal(trunk.fc[1].weight, learned["net.trunk.fc.1.weight"])
    with pytest.raises(RunError, match=r"model\.pooling is statistics, not mean"):
        build_trunk(ModelRecipe(width=0.25), str(tmp_path / STUDENT))


def test_a_folder_of_another_distillation_is_refused(tmp_path, corpus):
    distill(lesson(tmp_path, corpus), CPU, Watcher())
    with pytest.raises(UsageError, match="another settings"):
        distill(lesson(tmp_path, corpus, replace(SETTINGS, bank=17)), CPU, Watcher())
    other = RECIPE.with_values({"augment.noise": 0.4})
    with pytest.raises(UsageError, match="another recipe"):
        distill(lesson(tmp_path, corpus, recipe=other), CPU, Watcher())
    with pytest.raises(RunError, match="6 steps already"):
        distill(lesson(tmp_path, corpus, replace(SETTINGS, steps=5)), CPU, Watcher())
    more = distill(lesson(tmp_path, corpus, replace(SETTINGS, steps=7)), CPU, Watcher())
    assert more[-1]["step"] == 7


def test_too_few_speakers_to_check_by_are_refused(tmp_path, corpus):
    one = replace(corpus, entries=tuple(e for e in corpus.entries if e.clip.speaker == "ada"))
    with pytest.raises(UsageError, match="no two speakers"):
        distill(lesson(tmp_path, one), CPU, Watcher())


def test_a_student_of_other_dimensions_is_refused(tmp_path, corpus):
    recipe = RECIPE.with_values({"model.embedding_dim": DIM + 1})
    with pytest.raises(UsageError, match="17 dimensions, the teacher's 16"):
        distill(lesson(tmp_path, corpus, recipe=recipe), CPU, Watcher())


def test_variations_are_other_voices_of_the_same_clips(tmp_path, corpus):
    clips = Clips(RATE, tuple((corpus, entry) for entry in corpus.entries))
    made = [variation(tmp_path, n, clips, Teacher(), SETTINGS, seed=0) for n in (0, 1)]
    again = variation(tmp_path, 1, clips, Teacher(), SETTINGS, seed=0)
    assert np.array_equal(again.samples, made[1].samples)
    for index in range(len(clips.entries)):
        recorded = made[0].crop(index, 0.0, 1 << 30)
        np.testing.assert_allclose(recorded, clips.samples(index), atol=1e-4)
        other = made[1].crop(index, 0.0, 1 << 30)
        low, high = SETTINGS.speeds
        assert len(recorded) / high - 2 <= len(other) <= len(recorded) / low + 2
        (expected,) = Teacher().score([(0, other)])
        np.testing.assert_allclose(made[1].embeddings[index], expected.embedding, atol=1e-5)
    targets, mean = centred(made)
    assert targets.shape == (2 * len(clips.entries), DIM)
    torch.testing.assert_close(targets.norm(dim=1), torch.ones(len(targets)))
    np.testing.assert_allclose(mean, made[0].embeddings.mean(axis=0), rtol=1e-5)
    with pytest.raises(RunError, match="other clips"):
        variation(tmp_path, 0, Clips(RATE, clips.entries[1:]), Teacher(), SETTINGS, seed=0)


def test_a_crop_starts_where_it_is_asked_to(tmp_path, corpus):
    clips = Clips(RATE, ((corpus, corpus.entries[0]),))
    made = variation(tmp_path, 0, clips, Teacher(), SETTINGS, seed=0)
    whole = made.crop(0, 0.0, 1 << 30)
    assert np.array_equal(made.crop(0, 0.5, 100), whole[(s := (len(whole) - 100) // 2) : s + 100])
    assert np.array_equal(made.crop(0, 0.999999, 100), whole[-101:-1])


def test_held_out_speakers_have_two_clips_and_no_unlabelled_ones_beside_them():
    clips = [("a", "once"), *[("a", f"{n}") for n in range(9)] * 2]
    clips += [("b", "known"), ("b", "known"), ("b", "unlabelled")]
    chosen = choose_held_out(clips, 4)
    assert len(chosen) == 4
    assert chosen == choose_held_out([*clips, ("c", "other")], 4)
    assert choose_held_out(clips, 99) == {("a", f"{n}") for n in range(9)}


def test_verification_error_by_hand():
    east, north = np.eye(2, dtype=np.float32)
    assert verification_error(np.stack([east, east, north, north]), "aabb") == 0
    crossed = np.stack([east, north, east, north])  # 2 of 4 pairs of different speakers are alike
    assert verification_error(crossed, "aabb") > 0.5
