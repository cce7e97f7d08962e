"""A new split of VoxCeleb1."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections import Counter, defaultdict

import pytest

from tests.data.voxceleb import SIDES, build, by_speaker, many, official, rows, video
from voxedge.data.resplit import NewSplit
from voxedge.data.voxceleb import arrange_voxceleb1
from voxedge.errors import UsageError


@pytest.fixture
def corpus(tmp_path):
    return build(tmp_path / "vox", official())


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Read by several tests, which write their manifests elsewhere."""
    return build(tmp_path_factory.mktemp("large"), many())


@pytest.mark.parametrize("seed", range(5))
def test_by_video_no_video_is_on_two_sides(large, tmp_path, seed):
    manifest = tmp_path / "m.csv"
    report = arrange_voxceleb1(large, new_split=NewSplit(seed=seed), manifest=manifest)
    sides = defaultdict(set)
    for row in rows(manifest):
        sides[row["speaker"], row["session"]].add(row["split"])
    assert all(len(found) == 1 for found in sides.values())
    assert report.leaking_videos == 0
    assert {row["path"] for row in rows(manifest)} == {
        os.path.relpath(path, tmp_path) for path in large.rglob("*.wav")
    }


def test_by_utterance_videos_leak_and_the_report_counts_them(large, tmp_path):
    manifest = tmp_path / "m.csv"
    report = arrange_voxceleb1(large, new_split=NewSplit(split_by="utterance"), manifest=manifest)
    sides = defaultdict(set)
    for row in rows(manifest):
        sides[row["speaker"], row["session"]].add(row["split"])
    assert report.leaking_videos == sum(len(found) > 1 for found in sides.values()) > 0


@pytest.mark.parametrize(("train", "val"), [(0.6, 0.2), (0.8, 0.1), (0.34, 0.33)])
def test_by_utterance_the_sizes_of_every_speaker_are_met(large, tmp_path, train, val):
    manifest = tmp_path / "m.csv"
    arrange_voxceleb1(
        large,
        new_split=NewSplit(train, val, split_by="utterance"),
        manifest=manifest,
    )
    for theirs in by_speaker(manifest).values():
        counts = Counter(row["split"] for row in theirs)
        for split, share in (("train", train), ("validation", val), ("test", 1 - train - val)):
            assert abs(counts[split] - share * len(theirs)) < 1 + 1e-6, counts


@pytest.mark.parametrize("seed", range(5))
def test_by_video_the_sizes_are_met_as_well_as_videos_allow(large, tmp_path, seed):
    manifest = tmp_path / "m.csv"
    report = arrange_voxceleb1(large, new_split=NewSplit(seed=seed), manifest=manifest)
    total = sum(report.utterances.values())
    for split, share in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
        assert report.utterances[split] / total == pytest.approx(share, abs=0.03)
    for theirs in by_speaker(manifest).values():
        longest = max(Counter(row["session"] for row in theirs).values())
        counts = Counter(row["split"] for row in theirs)
        for split, share in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
            assert abs(counts[split] - share * len(theirs)) <= longest, counts


@pytest.mark.parametrize("lengths", [(1, 1, 1), (50, 1, 1), (9, 8, 7), (1, 1, 1, 30), (4, 4, 4)])
@pytest.mark.parametrize("sizes", [(0.6, 0.2), (0.98, 0.01), (0.01, 0.01), (0.01, 0.98)])
def test_three_videos_are_enough_for_three_sides(tmp_path, lengths, sizes):
    lines = [
        line
        for speaker in ("id10001", "id10002")
        for i, length in enumerate(lengths)
        for line in video(speaker, f"v{i}", "1" * length)
    ]
    build(tmp_path, lines)
    for seed in range(4):
        report = arrange_voxceleb1(tmp_path, new_split=NewSplit(*sizes, seed=seed))
        for theirs in by_speaker(report.manifest).values():
            assert {row["split"] for row in theirs} == set(SIDES.values())


def test_two_videos_give_train_and_test_and_one_gives_train(tmp_path):
    lines = [
        *video("id10001", "only", "12333"),
        *video("id10002", "long", "3333333333"),
        *video("id10002", "short", "11"),
    ]
    report = arrange_voxceleb1(build(tmp_path, lines), new_split=NewSplit())
    found = {row["session"]: row["split"] for row in rows(report.manifest)}
    assert found == {"only": "train", "long": "train", "short": "test"}


@pytest.mark.parametrize(("lengths", "possible"), [((4, 4, 4), 6), ((9, 8, 7), 2)])
def test_equal_videos_are_split_in_every_order(tmp_path, lengths, possible):
    """Every possible split occurs among the speakers.

    Three equal videos go to the sides in any order; of 9, 8 and 7 utterances, only the 9 fit into
    train.
    """
    lines = [
        line
        for s in range(60)
        for name, length in zip("abc", lengths, strict=True)
        for line in video(f"id{10000 + s}", name, "1" * length)
    ]
    report = arrange_voxceleb1(build(tmp_path, lines), new_split=NewSplit())
    orders = Counter(
        tuple({row["session"]: row["split"] for row in theirs}.items())
        for theirs in by_speaker(report.manifest).values()
    )
    assert len(orders) == possible


@pytest.mark.parametrize("split_by", ["video", "utterance"])
def test_the_split_depends_on_the_seed_alone(large, tmp_path, split_by):
    def split(seed, **options):
        report = arrange_voxceleb1(
            large,
            new_split=NewSplit(split_by=split_by, seed=seed),
            manifest=tmp_path / "m.csv",
            **options,
        )
        return {row["path"]: row["split"] for row in rows(report.manifest)}

    first = split(0)
    assert split(0) == first
    others = [split(seed) for seed in range(1, 6)]
    assert all(other != first for other in others)
    few = split(0, n_speakers=3)  # a speaker's split does not depend on the others
    assert few == {path: side for path, side in first.items() if path in few}


def test_another_process_with_another_hash_seed_splits_alike(corpus):
    report = arrange_voxceleb1(corpus, new_split=NewSplit(seed=7))
    here = report.manifest.read_bytes()
    code = (
        "import sys; from pathlib import Path; from voxedge.data.voxceleb import *;"
        "arrange_voxceleb1(Path(sys.argv[1]), new_split=NewSplit(seed=7));"
        "assert not {'torch', 'torchaudio', 'onnx', 'matplotlib'} & set(sys.modules)"
    )
    for hash_seed in ("1", "2"):
        report.manifest.unlink()
        subprocess.run(
            [sys.executable, "-c", code, corpus],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            check=True,
        )
        assert report.manifest.read_bytes() == here


@pytest.mark.parametrize(
    ("train", "val"),
    [
        *[(0.8, 0.2), (0.7, 0.3), (0.9, 0.9), (1, 0.1)],
        *[(0, 0.5), (0.5, 0), (-0.1, 0.5), (0.5, -0.1)],
        *[(math.nan, 0.2), (0.6, math.nan), (math.inf, 0.2), (-math.inf, 0.2)],
    ],
)
def test_impossible_sizes(train, val):
    with pytest.raises(UsageError, match=r"leave no test split .both must be above 0"):
        NewSplit(train, val)


def test_unknown_way_to_split():
    with pytest.raises(UsageError, match="by video or by utterance, not by 'speaker'"):
        NewSplit(split_by="speaker")
