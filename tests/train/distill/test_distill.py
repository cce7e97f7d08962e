"""A tiny student learns a teacher that is known exactly: a linear map of band energies."""

from __future__ import annotations

import json
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
from voxedge.train.distill import targets as targets_module
from voxedge.train.distill.crops import CropSampler
from voxedge.train.distill.lesson import Lesson, Roles, corpus_name
from voxedge.train.distill.loop import STUDENT, distill
from voxedge.train.distill.settings import Distillation
from voxedge.train.distill.speakers import choose_held_out, clips_to_compare, verification_error
from voxedge.train.distill.targets import Clips, Targets, Teacher, centred
from voxedge.train.prepare import split_for
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


class Bands:
    """Energies in bands of the spectrum."""

    def __init__(self):
        self.asked = 0

    def score(self, clips, windows):
        for key, samples in clips:
            self.asked += 1
            power = np.abs(np.fft.rfft(samples, 4096)) ** 2
            bands = np.log(power[:2048].reshape(DIM, -1).sum(axis=1) + 1e-6)
            yield ClipScores(key, 1, embedding=unit_length(bands - bands.mean()))


def teacher(model=None, rate=RATE, dimensions=DIM):
    return Teacher(model or Bands(), "digest", rate, dimensions)


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
    return Lesson(recipe, settings, [corpus], teacher(), folder)


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
    assert whole.teacher.model.asked == 2 * clips  # once a variation, held-out speakers included

    with pytest.raises(Interrupted, match="after 4 steps"):
        distill(lesson(tmp_path / "stopped", corpus), CPU, Watcher(stop_at=4))
    assert not (tmp_path / "stopped" / STUDENT).exists()
    again = lesson(tmp_path / "stopped", corpus)
    assert distill(again, CPU, Watcher()) == rows
    assert again.teacher.model.asked == 0  # the targets are on disk
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_student_comes_closer_to_its_teacher_and_can_be_started_from(tmp_path, corpus):
    settings = replace(SETTINGS, steps=60, held_out=0, check_every=20)
    recipe = RECIPE.with_values({"optimizer.learning_rate": 3e-3, "augment.noise": 0.0})
    first, *_, last = distill(lesson(tmp_path, corpus, settings, recipe), CPU, Watcher())
    assert last["cosine"] < 0.8 * first["cosine"]
    assert last["similarity"] < 0.8 * first["similarity"]
    assert last["eer"] is None
    json.loads((tmp_path / "history.json").read_text(), parse_constant=pytest.fail)
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
    for fewer, message in (({"steps": 5}, "6 steps"), ({"variations": 1}, "2 variations")):
        with pytest.raises(RunError, match=f"{message} already"):
            distill(lesson(tmp_path, corpus, replace(SETTINGS, **fewer)), CPU, Watcher())
    more = distill(lesson(tmp_path, corpus, replace(SETTINGS, steps=7)), CPU, Watcher())
    assert more[-1]["step"] == 7


def test_too_few_speakers_to_check_by_are_refused(tmp_path, corpus):
    one = replace(corpus, entries=tuple(e for e in corpus.entries if e.clip.speaker == "ada"))
    with pytest.raises(UsageError, match="no two speakers"):
        distill(lesson(tmp_path, one), CPU, Watcher())


def test_a_teacher_that_does_not_fit_is_refused_before_it_is_asked(tmp_path, corpus):
    for odd, message in (
        (teacher(dimensions=17), "16 dimensions, the teacher's 17"),
        (teacher(rate=8_000), "the teacher takes 8000 Hz"),
    ):
        with pytest.raises(UsageError, match=message):
            distill(replace(lesson(tmp_path / "new", corpus), teacher=odd), CPU, Watcher())
        assert odd.model.asked == 0
    assert not (tmp_path / "new").exists()


def test_a_folder_of_a_training_is_left_alone(tmp_path, corpus):
    (tmp_path / "recipe.toml").write_text("mine")
    with pytest.raises(UsageError, match="holds something else"):
        distill(lesson(tmp_path, corpus), CPU, Watcher())
    assert (tmp_path / "recipe.toml").read_text() == "mine"


def test_who_is_held_out_is_neither_trained_on_nor_in_the_bank(tmp_path, corpus):
    roles = Roles.of(lesson(tmp_path, corpus))
    held = {speaker for _, speaker in roles.held_out}
    assert len(held) == 2
    assert {corpus.entries[i].clip.speaker for i in roles.kept}.isdisjoint(held)
    assert {corpus.entries[i].clip.speaker for i in roles.compared} == held
    clips, targets = roles.clips, tmp_path / "targets"
    made = Targets(targets, clips, teacher(), SETTINGS, seed=0).variation(0)
    sampler = CropSampler(RECIPE, SETTINGS, [made], roles.kept, CPU.device)
    allowed = {tuple(sampler.targets[0, i].tolist()) for i in roles.kept}
    for step in range(5):
        batch = sampler.batch(step)
        rows = torch.cat([batch.targets, batch.bank])
        assert {tuple(row.tolist()) for row in rows} <= allowed


def test_a_clip_that_is_in_two_corpora_is_not_trained_on_under_its_other_name(tmp_path, corpus):
    copies = tuple(
        replace(e, clip=replace(e.clip, speaker="x" + e.clip.speaker)) for e in corpus.entries
    )
    manifest = replace(corpus.manifest, root=tmp_path / "copies")
    other = replace(corpus, entries=copies, manifest=manifest)
    twice = replace(lesson(tmp_path, corpus), corpora=[corpus, other], by_clip=("copies",))
    roles = Roles.of(twice)
    held = {speaker for _, speaker in roles.held_out}
    entries = [entry for _, entry in roles.clips.entries]
    trained_on = {entries[i].clip.speaker.removeprefix("x") for i in roles.kept}
    assert held
    assert trained_on.isdisjoint(held)
    with pytest.raises(UsageError, match="two corpora are called"):
        Roles.of(replace(twice, corpora=[corpus, corpus]))


def test_a_corpus_split_by_clip_keeps_its_test_clips_unheard(tmp_path, corpus):
    alone = replace(corpus.entries[0], clip=replace(corpus.entries[0].clip, speaker="alone"))
    by_clip = replace(corpus, entries=(*corpus.entries[1:], alone))
    settings = replace(SETTINGS, held_out=0)
    given = replace(lesson(tmp_path, by_clip, settings), by_clip=(corpus_name(corpus),))
    roles = Roles.of(given)
    split = split_for(RECIPE, replace(by_clip, entries=by_clip.entries[:-1]))
    assert not roles.held_out
    learned = {roles.clips.entries[i][1].clip.name for i in roles.kept}
    wanted = {name for name, side in split.sides.items() if side == "train"}
    assert learned == wanted | {alone.clip.name}
    assert len(learned) < len(by_clip.entries)


def test_variations_are_other_voices_of_the_same_clips(tmp_path, corpus, monkeypatch):
    monkeypatch.setattr(targets_module, "SHARD", 5)
    clips = Clips(RATE, tuple((corpus, entry) for entry in corpus.entries))
    targets = Targets(tmp_path, clips, teacher(), SETTINGS, seed=0)
    made = [targets.variation(number) for number in (0, 1)]
    again = Targets(tmp_path, clips, teacher(), SETTINGS, seed=0).variation(1)
    for index in range(len(clips.entries)):
        recorded, other = (each.samples(index) for each in made)
        assert np.array_equal(again.samples(index), other)
        np.testing.assert_allclose(recorded, clips.samples(index), atol=1e-4)
        low, high = SETTINGS.speeds
        assert len(recorded) / high - 2 <= len(other) <= len(recorded) / low + 2
        (expected,) = Bands().score([(0, other)], "first")
        np.testing.assert_allclose(made[1].embeddings[index], expected.embedding, atol=1e-5)
    kept = np.arange(3)
    found = centred(made, kept)
    assert found.shape == (2, len(clips.entries), DIM)
    torch.testing.assert_close(found.norm(dim=2), torch.ones(2, len(clips.entries)))
    mean = made[0].embeddings[kept].mean(axis=0)
    expected = made[1].embeddings[7] - mean
    np.testing.assert_allclose(found[1, 7], expected / np.linalg.norm(expected), atol=1e-5)


def test_a_stop_loses_no_shard_that_the_teacher_has_done(tmp_path, corpus, monkeypatch):
    monkeypatch.setattr(targets_module, "SHARD", 10)
    clips = Clips(RATE, tuple((corpus, entry) for entry in corpus.entries))

    def stop():
        raise Interrupted(15, "stopped")

    with pytest.raises(Interrupted):
        Targets(tmp_path, clips, teacher(), SETTINGS, 0, between=stop).variation(0)
    late = teacher()
    Targets(tmp_path, clips, late, SETTINGS, 0).variation(0)
    assert late.model.asked == len(clips.entries) - 10


def test_targets_that_are_damaged_or_of_other_clips_are_refused(tmp_path, corpus):
    clips = Clips(RATE, tuple((corpus, entry) for entry in corpus.entries))
    Targets(tmp_path, clips, teacher(), SETTINGS, 0).variation(0)
    fewer = Clips(RATE, clips.entries[1:])
    with pytest.raises(RunError, match="other clips"):
        Targets(tmp_path, fewer, teacher(), SETTINGS, 0).variation(0)
    (path,) = tmp_path.glob("*.npz")
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:-200] + bytes(200)):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match="damaged"):
            Targets(tmp_path, clips, teacher(), SETTINGS, 0).variation(0)


def test_a_clip_without_sound_or_without_an_answer_is_not_trained_on(tmp_path, corpus):
    class Partly(Bands):
        def score(self, clips, windows):
            for scores in super().score(clips, windows):
                if scores.key == 3:
                    yield ClipScores(scores.key, 0)
                elif scores.key == 4:
                    yield replace(scores, embedding=np.full(DIM, np.nan, np.float32))
                else:
                    yield scores

    clips = Clips(RATE, tuple((corpus, entry) for entry in corpus.entries))
    made = Targets(tmp_path / "t", clips, teacher(Partly()), SETTINGS, 0).variation(0)
    assert not made.embeddings[3:5].any()
    assert np.isfinite(made.embeddings).all()
    odd = replace(lesson(tmp_path / "out", corpus), teacher=teacher(Partly()))
    rows = distill(odd, CPU, Watcher())
    assert all(np.isfinite(row["loss"]) for row in rows)


def test_a_crop_starts_where_it_is_asked_to(tmp_path, corpus):
    clips = Clips(RATE, ((corpus, corpus.entries[0]),))
    made = Targets(tmp_path, clips, teacher(), SETTINGS, 0).variation(0)
    whole = made.samples(0)
    assert np.array_equal(made.crop(0, 0.5, 100), whole[(s := (len(whole) - 100) // 2) : s + 100])
    assert np.array_equal(made.crop(0, 0.999999, 100), whole[-101:-1])


def test_held_out_speakers_have_two_clips_and_no_unlabelled_ones_beside_them():
    clips = [("a", "once"), *[("a", f"{n}") for n in range(9)] * 2]
    clips += [("b", "known"), ("b", "known"), ("b", "unlabelled"), ("d", "x"), ("d", "x")]
    chosen = choose_held_out(clips, 4, never="d")
    assert len(chosen) == 4
    more = choose_held_out([*clips, ("c", "new"), ("c", "new")], 4, never="d")
    assert {*chosen} - {*more} <= {chosen[-1]}  # a new one takes a place at most
    assert len(choose_held_out(clips, 99, never="d")) == 4  # half of the nine
    compared = clips_to_compare([("a", "1")] * 30 + [("a", "2")] * 2, [("a", "1")])
    assert compared == list(range(10))


def test_verification_error_by_hand():
    speakers = [("c", name) for name in "aabb"]
    east, north = np.eye(2, dtype=np.float32)
    assert verification_error(np.stack([east, east, north, north]), speakers) == 0
    crossed = np.stack([east, north, east, north])  # 2 of 4 pairs of different speakers are alike
    assert verification_error(crossed, speakers) == 0.75


@pytest.mark.parametrize(
    "wrong",
    [
        {"crops": ()},
        {"crops": (0.5, 1.1)},
        {"speeds": (0.0, 1.0)},
        {"formants": (1.2, 0.8)},
        {"bank": 0},
        {"held_out": 1},
        {"temperature": 0.0},
        {"warm_up": -1},
        {"decay": 1.1},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UsageError):
        Distillation(**wrong)


def test_the_learning_rate_rises_stays_and_falls():
    settings = Distillation(steps=100, warm_up=10, decay=0.2)
    rates = [settings.learning_rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:80] == [1.0] * 71
    assert rates[90] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.05)
