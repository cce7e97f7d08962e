"""The rivals: trained on the training side alone, and evaluated on the other, like a run."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench import campplus
from bench.accuracy import ablation, centers, few, rivals, table
from bench.accuracy.__main__ import main
from bench.accuracy.evaluate import read_clips
from tests.conftest import RATE, voice
from voxedge.data.corpus import load_corpus
from voxedge.data.manifest import read_manifest
from voxedge.errors import MissingExtra
from voxedge.evaluation.answers import Evaluation
from voxedge.metrics import calibration_error
from voxedge.train.prepare import split_for
from voxedge.train.recipe import Recipe, load, parse_settings
from voxedge.train.run import Run


@pytest.fixture(scope="module")
def corpus(corpus_folder):
    return load_corpus(read_manifest(corpus_folder), RATE, memory=1 << 30)


def no_weights(*_: object) -> None:
    raise MissingExtra("no weights")


def test_the_discriminant_is_evaluated_like_a_run(
    corpus_folder, corpus, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "resemblyzer", None)
    monkeypatch.setattr(campplus, "folded", no_weights)
    words = ["rivals", "--data", corpus_folder, "--out", tmp_path, "--stress", "gain-20,cut0.5"]
    assert main(list(map(str, words))) == 0
    printed = capsys.readouterr()
    assert "resemblyzer is left out" in printed.err
    assert "campplus is left out: no weights" in printed.err
    assert "--no-deps Resemblyzer" in printed.err
    assert f"next: voxedge compare RUN {tmp_path / 'mfcc-lda'}" in printed.err
    assert "trained in" in printed.out
    written = Evaluation.read(tmp_path / "mfcc-lda" / "evaluation.json")
    split = split_for(Recipe(), corpus)  # of a run of the default recipe
    evaluated = {record.path for record in written.records}
    assert evaluated == {name for name, side in split.sides.items() if side == "test"}
    assert written.conditions == ("clean", "gain-20", "cut0.5")
    assert written.subject["train_seconds"] > 0
    assert all(record.answers["clean"].rank == 0 for record in written.records)  # easy voices


def test_a_run_and_its_corpus_and_seed_give_the_same_split(corpus_folder, corpus, tmp_path):
    run = Run(tmp_path / "run")
    recipe = Recipe().with_values({"data.split_seed": 3})
    run.describe(recipe, corpus, split_for(recipe, corpus))
    of_run, _ = read_clips(run.folder, None, seed=0)
    of_data, _ = read_clips(None, corpus_folder, seed=3)
    sides = [{clip.name: clip.split for clip in clips} for clips in (of_run, of_data)]
    assert sides[0] == sides[1]
    assert set(sides[0].values()) == {"train", "validation", "test"}


def test_no_rival_to_train_and_wrong_arguments_are_errors(
    corpus_folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "resemblyzer", None)
    monkeypatch.setattr(campplus, "folded", no_weights)
    words = ["rivals", "--data", str(corpus_folder), "--out", str(tmp_path)]
    assert main([*words, "--stress", "none", "--only", "resemblyzer"]) == MissingExtra.exit_code
    for mistake in (["--stress", "underwater"], ["--only", "gmm"], ["--split", "train"]):
        assert main([*words, *mistake]) == 2
        assert mistake[1] in capsys.readouterr().err
    assert main(["rivals", "--out", str(tmp_path)]) == 2
    assert "--run or --data" in capsys.readouterr().err
    assert main([]) == 2


def test_the_nearest_centroid_by_hand():
    training = rivals.Examples(np.array([[1.0, 0], [0.6, 0.8], [0, 1]]), np.array([0, 0, 1]))
    validation = rivals.Examples(np.array([[1.0, 0], [0, 1]]), np.array([0, 1]))
    classify = rivals._nearest_centroid(training, validation)
    angle = np.array([[1.6, 0.8]]) / np.hypot(1.6, 0.8)  # the first centroid itself
    probabilities = classify(np.concatenate([angle, [[0, 1]]]))
    assert probabilities.argmax(axis=1).tolist() == [0, 1]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    ratio = np.log(probabilities[0, 0] / probabilities[0, 1])
    other = np.log(probabilities[1, 1] / probabilities[1, 0])
    assert ratio / other == pytest.approx(1)  # both are a cosine of 1 against one of 0.447


def test_its_temperature_calibrates_where_classes_overlap():
    random = np.random.default_rng(0)
    truth = random.integers(5, size=600)
    noisy = np.eye(5)[truth] + random.normal(0, 0.6, (600, 5))
    unit = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
    parts = [rivals.Examples(unit[a:b], truth[a:b]) for a, b in ((0, 200), (200, 400))]
    probabilities = rivals._nearest_centroid(*parts)(unit[400:])
    right = probabilities.argmax(axis=1) == truth[400:]
    assert 0.4 < right.mean() < 0.95
    assert calibration_error(probabilities.max(axis=1), right) < 0.12


def test_resemblyzer_describes_even_a_clip_without_voice():
    pytest.importorskip("resemblyzer")
    describe = rivals.load_resemblyzer()
    quiet = np.random.default_rng(0).normal(0, 1e-3, RATE // 2).astype(np.float32)
    for samples in (voice(150, 1.0, 0), quiet):
        assert np.linalg.norm(describe(samples)) == pytest.approx(1, abs=1e-5)


def test_the_manifest_of_little_data_is_deterministic_and_its_sides_are_disjoint(tmp_path):
    for speaker in range(12):
        (tmp_path / "data" / f"s{speaker:02d}").mkdir(parents=True)
        for clip in range(60):
            (tmp_path / "data" / f"s{speaker:02d}" / f"{clip}.ogg").touch()
    listed = few.list_clips(tmp_path / "data", tmp_path / "a.csv", *few.SIZES["10x6"])
    clips = read_manifest(listed).clips
    assert len({clip.source for clip in clips}) == len(clips) == 10 * (5 + 1 + 40)
    assert Counter(clip.split for clip in clips if clip.speaker == "s03") == {
        "train": 5,
        "validation": 1,
        "test": 40,
    }
    again = few.list_clips(tmp_path / "data", tmp_path / "b.csv", *few.SIZES["10x6"])
    assert again.read_bytes() == listed.read_bytes()


def test_a_run_is_begun_or_resumed_and_evaluated_once(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(table, "voxedge", lambda *words: commands.append(" ".join(words)))
    folder, latest = tmp_path / "row-0", tmp_path / "row-0" / "latest"
    own = (folder, ("data", "--seed", "0"), ("--stress", "none"))
    table.train_and_evaluate(*own)
    assert commands == [f"train data --seed 0 --runs {folder}", f"evaluate {folder} --stress none"]
    latest.mkdir(parents=True)
    (latest / "last.safetensors").touch()
    commands.clear()
    table.train_and_evaluate(*own)
    assert commands == [f"train --resume {folder}", f"evaluate {folder} --stress none"]
    (latest / "evaluation").mkdir()
    (latest / "evaluation" / "evaluation.json").touch()
    commands.clear()
    table.train_and_evaluate(*own)
    assert commands == []


@pytest.mark.parametrize("words", [("--seeds", "a"), ("--seeds", "0,-1"), ("--rows", "best")])
def test_an_unknown_seed_or_row_is_a_usage_error(words, tmp_path, capsys):
    assert main(["table", "--out", str(tmp_path), *words]) == 2
    assert words[1].split(",")[-1] in capsys.readouterr().err


@pytest.mark.parametrize("kind", [centers, ablation])
def test_every_variant_is_another_recipe(kind):
    default = load("default")
    recipes = {
        name: default.with_values(parse_settings(table.settings(values)[1::2]))
        for name, values in kind.VARIANTS.items()
    }
    assert len({str(recipe.to_dict()) for recipe in recipes.values()}) == len(recipes)


def test_the_variants_of_the_center_loss_are_what_they_are_called():
    recipes = {
        name: load("default").with_values(parse_settings(table.settings(values)[1::2]))
        for name, values in centers.VARIANTS.items()
    }
    assert recipes["none"].loss.center == "none"
    assert recipes["paper-unit-100"].loss.center_unit
    assert not recipes["paper-100"].loss.center_unit
    assert recipes["paper-unit-100-late"].loss.center_warm_up == 1.0


def test_the_ablation_removes_one_thing_at_a_time(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(table, "voxedge", lambda *words: commands.append(" ".join(words)))
    for speaker in range(2):
        (tmp_path / "data" / f"s{speaker}").mkdir(parents=True)
    words = ["ablation", "--out", str(tmp_path / "out"), "--rows", "default,no-gain,no-noise"]
    words += ["--data", str(tmp_path / "data"), "--noise", "N", "--rooms", "R", "--seeds", "0,7"]
    assert main(words) == 0
    trained = [line for line in commands if line.startswith("train ")]
    assert ["augment.gain=0" in line for line in trained] == [False, True, False] * 2
    assert ["augment.noise=0" in line for line in trained] == [False, False, True] * 2
    assert ["augment.noise_folder=N" in line for line in trained] == [True, True, False] * 2
    assert all("augment.rooms_folder=R" in line for line in trained)
    assert [line.partition("--seed ")[2][0] for line in trained] == ["0"] * 3 + ["7"] * 3
    evaluated = [line for line in commands if line.startswith("evaluate ")]
    assert len(evaluated) == 6
    conditions = "--stress noise10,room,telephone,cut1 --noise N --rooms R"
    assert all(line.endswith(conditions) for line in evaluated)
    assert commands[-1].startswith(f"compare default={tmp_path / 'out' / 'default-0' / 'latest'},")
    assert commands[-1].endswith("no-noise-7/latest --markdown")


def test_one_row_alone_is_not_compared(monkeypatch):
    commands = []
    monkeypatch.setattr(table, "voxedge", lambda *words: commands.append(words))
    table.print_comparison({"a": [Path("a-0"), Path("a-1")]}, "--markdown")
    assert commands == []
    table.print_comparison({"a": [Path("a-0"), Path("a-1")]}, "rivals/r", "--markdown")
    assert commands == [("compare", "a=a-0,a-1", "rivals/r", "--markdown")]


@pytest.mark.parametrize("name", ablation.VARIANTS)
def test_every_change_of_an_ablation_has_an_effect(name):
    values = ablation.with_folders(name, Path("N"), Path("R"))
    changes = parse_settings(table.settings(values)[1::2])
    default = load("default")
    changed = default.with_values(changes)
    changed.refuse_idle(changes)
    folders = {"augment.noise_folder": "N", "augment.rooms_folder": "R"}
    assert (changed == default.with_values(folders)) == (name == "default")


def test_a_command_that_failed_passes_on_its_exit_code(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 6)
    monkeypatch.setattr(table.subprocess, "run", lambda *_, **__: failed)
    assert main(["table", "--out", str(tmp_path), "--rows", "default", "--seeds", "0"]) == 6


def test_the_rows_of_the_center_loss_are_means_over_seeds(tmp_path):
    def verification(eer: float, same: float) -> dict:
        cosines = {"same": same, "different": 0.1}
        return {
            "eer": {"value": eer},
            "shots": {"1": {"value": 0.5}, "5": {"value": 0.75}},
            "cosines": {k: {"mean": v, "deviation": 0.1} for k, v in cosines.items()},
        }

    found = {"none": [verification(0.2, 0.5), verification(0.1, 0.7)], "x": [verification(0.3, 0)]}
    rows = centers.table(found).splitlines()
    assert rows[2].startswith("| none | 15.0 (10.0 to 20.0) | 50.0 (50.0 to 50.0) | 75.0 ")
    assert "| 0.60 ± 0.10 | 0.10 ± 0.10 |" in rows[2]
    assert rows[3].startswith("| x | 30.0 | 50.0 | 75.0 | 0.00 ± 0.10")
    centers.draw(found, tmp_path / "a.svg")
    centers.draw(found, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
