from __future__ import annotations

import os
import shutil
import sys

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, SPEAKERS, voice, write_corpus
from voxedge import load_audio
from voxedge.data.check import check_corpus
from voxedge.data.corpus import load_corpus
from voxedge.data.dataset import TrainingSet, evaluation_batches
from voxedge.data.manifest import read_manifest
from voxedge.data.split import split_corpus
from voxedge.errors import CorpusError
from voxedge.train.recipe import load
from voxedge.train.run import Run


@pytest.fixture
def messy(tmp_path):
    """A corpus with everything that goes wrong in real ones."""
    root = write_corpus(tmp_path / "data", clips=5)
    (root / "ada" / "broken.wav").write_bytes(b"RIFF not really")
    soundfile.write(root / "ada" / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(root / "ada" / "short.wav", voice(110, 0.1, 1), RATE)
    shutil.copy(root / "ben" / "00.wav", root / "ben" / "copy.wav")
    sound, _ = soundfile.read(root / "ben" / "01.wav", dtype="int16")
    soundfile.write(root / "ben" / "copy.flac", sound, RATE)  # the same audio in another container
    shutil.copy(root / "cleo" / "00.wav", root / "dan" / "stolen.wav")
    (root / "eve").mkdir()
    soundfile.write(root / "eve" / "only.wav", voice(320, 1, 5), RATE)
    (root / "notes.txt").write_text("not audio")
    (root / "ada" / ".hidden.wav").write_bytes(b"")
    return root


def test_every_problem_of_a_messy_corpus_is_found(messy):
    corpus = load_corpus(read_manifest(messy), RATE, min_clips=3, workers=2)
    problems = {p.clip.name: p.code for p in corpus.problems}
    assert problems == {
        "ada/broken.wav": "unreadable",
        "ada/silent.wav": "silent",
        "ada/short.wav": "too_short",
        "ben/copy.wav": "duplicate",
        "ben/copy.flac": "duplicate",
        "cleo/00.wav": "conflict",
        "dan/stolen.wav": "conflict",
        "eve/only.wav": "too_few",
    }
    assert corpus.labels == ("ada", "ben", "cleo", "dan")
    assert len(corpus.entries) == 19


def test_the_check_reports_the_same_problems(messy):
    report = check_corpus(messy)
    assert len(report["problems"]) == 8
    assert report["usable"] == 19
    assert report["rates"] == {"16000": 19}
    assert report["speakers"]["ada"] == {"clips": 5, "seconds": 6.0, "sessions": 1}
    assert report["ignored"] == ["notes.txt"]
    assert report["trainable"]


def test_strict_raises_at_a_bad_clip(messy):
    with pytest.raises(CorpusError, match="problems in all"):
        load_corpus(read_manifest(messy), RATE, strict=True)


def test_the_first_speakers_in_order_can_be_asked_for(corpus_folder):
    corpus = load_corpus(read_manifest(corpus_folder), RATE, speakers=2)
    assert corpus.labels == ("ada", "ben")
    with pytest.raises(CorpusError, match="9 speakers asked for, but there are 4"):
        load_corpus(read_manifest(corpus_folder), RATE, speakers=9)


def test_one_speaker_is_not_enough(tmp_path):
    root = write_corpus(tmp_path / "data", clips=3)
    for name in ("ben", "cleo", "dan"):
        shutil.rmtree(root / name)
    with pytest.raises(CorpusError, match="2 speakers are needed"):
        load_corpus(read_manifest(root), RATE, min_clips=3)


def test_the_memory_budget_is_kept_and_changes_no_sample(corpus_folder):
    manifest = read_manifest(corpus_folder)
    held = load_corpus(manifest, RATE, memory=1 << 30)
    none = load_corpus(manifest, RATE, memory=0)
    clip_bytes = round(1.2 * RATE) * 2
    some = load_corpus(manifest, RATE, memory=3 * clip_bytes + 1)
    assert all(e.held is not None for e in held.entries)
    assert all(e.held is None for e in none.entries)
    assert sum(e.held is not None for e in some.entries) == 3
    assert held.digest == none.digest == some.digest
    for a, b in zip(held.entries, none.entries, strict=True):
        np.testing.assert_array_equal(held.samples(a), none.samples(b))
        # As inference decodes it.
        np.testing.assert_array_equal(held.samples(a), load_audio(a.clip.source))


def test_clips_beyond_full_scale_are_not_clipped(tmp_path):
    for name in ("ada", "ben"):
        (tmp_path / name).mkdir()
        loud = 3 * voice(SPEAKERS[name], 1, 1) / 0.2
        soundfile.write(tmp_path / name / "1.wav", loud, RATE, subtype="FLOAT")
    corpus = load_corpus(read_manifest(tmp_path), RATE, memory=1 << 30)
    assert np.abs(corpus.samples(corpus.entries[0])).max() == pytest.approx(3, abs=0.01)


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems know UTF-8 only")
def test_names_that_are_not_utf_8_reach_the_run_folder(tmp_path):
    root = write_corpus(tmp_path / "data", clips=3)
    odd = os.fsencode(root / "ada") + b"/caf\xe9.wav"
    shutil.copy(root / "ada" / "00.wav", odd)
    soundfile.write(odd, voice(110, 1, 77), RATE, format="WAV")
    corpus = load_corpus(read_manifest(root), RATE)
    run = Run(tmp_path / "run")
    run.describe(load("default"), corpus, split_corpus(corpus.entries, 0.6, 0.2))
    assert any(
        clip.source.exists() and b"caf\xe9" in os.fsencode(clip.source)
        for clip in run.manifest().clips
    )


def test_manifest_from_csv(tmp_path, corpus_folder):
    lines = ["path,speaker,session,split"]
    sides = ["train"] * 5 + ["validation", "test", "test"]
    for clip in read_manifest(corpus_folder).clips:
        number = int(clip.source.stem)
        lines.append(f"{clip.source},{clip.speaker.upper()},day{number % 2},{sides[number]}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    manifest = read_manifest(tmp_path / "list.csv")
    assert manifest.speakers == ["ADA", "BEN", "CLEO", "DAN"]
    assert {c.session for c in manifest.clips} == {"day0", "day1"}
    assert sum(c.split == "train" for c in manifest.clips) == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,who\na.wav,x\n", "must name the columns path and speaker"),
        ("path,speaker\n", "lists no clips"),
        ("path,speaker\na.wav,\n", "line 2: path or speaker is empty"),
        ("path,speaker,split\na.wav,x,dev\n", "split is 'dev'"),
        ("path,speaker,split\na.wav,x,train\nb.wav,x,\n", "for all clips or for none"),
        ("path,speaker\na.wav,x\na.wav,y\n", "is listed twice"),
    ],
)
def test_a_malformed_manifest_is_refused(tmp_path, text, message):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(CorpusError, match=message):
        read_manifest(tmp_path / "list.csv")


def test_folders_without_speakers_are_explained(tmp_path):
    with pytest.raises(CorpusError, match="there is no corpus"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match=r"data/<speaker>/<clip>\.wav"):
        read_manifest(tmp_path)
    soundfile.write(tmp_path / "loose.wav", voice(100, 1, 1), RATE)
    with pytest.raises(CorpusError, match="1 clips are directly in it"):
        read_manifest(tmp_path)


def test_sub_folders_are_sessions(tmp_path):
    for day in ("monday", "tuesday"):
        (tmp_path / "ada" / day).mkdir(parents=True)
        soundfile.write(tmp_path / "ada" / day / "1.wav", voice(100, 1, 1), RATE)
    assert [c.session for c in read_manifest(tmp_path).clips] == ["monday", "tuesday"]


def training_set(folder, **changes) -> TrainingSet:
    corpus = load_corpus(read_manifest(folder), RATE, memory=changes.pop("memory", 1 << 30))
    options = {"largest_batch": 5, "window": 8000, "random_crop": True, "seed": 3} | changes
    return TrainingSet(corpus, corpus.entries, **options)


def test_an_epoch_can_be_resumed_at_any_step(corpus_folder):
    whole = training_set(corpus_folder)
    expected = list(whole.epoch(4))[3:]
    resumed = list(whole.epoch(4, first_step=3))
    assert len(resumed) == whole.steps - 3
    for a, b in zip(expected, resumed, strict=True):
        np.testing.assert_array_equal(a.pcm, b.pcm)
        assert a.keys == b.keys


def test_epochs_differ_and_seeds_differ(corpus_folder):
    first, second = (next(training_set(corpus_folder).epoch(n)).pcm for n in (0, 1))
    other = next(training_set(corpus_folder, seed=4).epoch(0)).pcm
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_threads_change_no_batch(corpus_folder):
    single = training_set(corpus_folder, memory=0)
    threaded = training_set(corpus_folder, memory=0, workers=3)
    for a, b in zip(single.epoch(0), threaded.epoch(0), strict=True):
        np.testing.assert_array_equal(a.pcm, b.pcm)


def test_a_last_batch_of_one_window_is_dropped(corpus_folder):
    assert training_set(corpus_folder, largest_batch=31).steps == 1  # 32 clips
    assert training_set(corpus_folder, largest_batch=30).steps == 2


def test_evaluation_batches_have_every_window_once(corpus_folder):
    corpus = load_corpus(read_manifest(corpus_folder), RATE)
    batches = list(evaluation_batches(corpus, corpus.entries, 7, window=8000))
    keys = [key for batch in batches for key in batch.keys]
    windows = 1 + int(np.ceil((1.2 * RATE - 8000) / 4000))
    assert keys == [index for index in range(32) for _ in range(windows)]


@pytest.mark.parametrize(
    ("min_steps", "batch_size", "steps"),
    [(1, 16, 2), (2, 16, 2), (3, 10, 4), (10, 8, 12), (4, 8, 4)],
)
def test_a_small_corpus_has_the_minimum_of_steps(corpus_folder, min_steps, batch_size, steps):
    training = training_set(corpus_folder, largest_batch=16, min_steps=min_steps)
    assert (training.batch_size, training.steps) == (batch_size, steps)
    seen = [key for batch in training.epoch(0) for key in batch.keys]
    assert len(seen) == training.clips
    assert {seen.count(key) for key in range(4)} == {training.clips // 4}  # every clip as often


@pytest.mark.parametrize(
    ("largest_batch", "ranks", "sizes"),
    [(16, 2, [8, 8]), (12, 4, [3, 3, 2]), (9, 3, [3, 3, 3]), (30, 2, [15])],
)
def test_processes_have_equal_shares_of_every_batch(corpus_folder, largest_batch, ranks, sizes):
    whole = training_set(corpus_folder, largest_batch=largest_batch)
    shares = [
        training_set(corpus_folder, largest_batch=largest_batch, rank=rank, ranks=ranks)
        for rank in range(ranks)
    ]
    epochs = [list(share.epoch(1)) for share in shares]
    for epoch in epochs:
        assert [len(batch.keys) for batch in epoch] == sizes
    assert {share.steps for share in shares} == {len(sizes)}
    for expected, *parts in zip(list(whole.epoch(1))[: len(sizes)], *epochs, strict=True):
        rows = np.concatenate([part.pcm for part in parts])
        np.testing.assert_array_equal(rows, expected.pcm[: len(rows)])
        assert sum((part.keys for part in parts), ()) == expected.keys[: len(rows)]


def test_a_small_corpus_leaves_each_process_eight_windows(corpus_folder):
    options = {"largest_batch": 30, "min_steps": 10}
    assert training_set(corpus_folder, **options).batch_size == 8
    assert training_set(corpus_folder, **options, ranks=2).batch_size == 16
    assert training_set(corpus_folder, largest_batch=30, min_steps=1, ranks=3).batch_size == 30
