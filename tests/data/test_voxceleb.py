"""VoxCeleb1's layout in miniature: what goes into the manifest, what is refused or left alone."""

from __future__ import annotations

import csv
import errno
import inspect
import io
import math
import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile

from voxedge.data.manifest import read_manifest
from voxedge.data.voxceleb import NewSplit, VoxCelebReport, arrange_voxceleb1
from voxedge.errors import CorpusError, MissingExtra, UsageError, VoxedgeError
from voxedge.install import install_command

SIDES = {"1": "train", "2": "validation", "3": "test"}


def a_wav() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(16, np.float32), 16000, format="WAV")
    return file.getvalue()


WAV = a_wav()


def video(speaker: str, name: str, sides: str) -> list[str]:
    """The list's lines for one video, one utterance for each character of ``sides``."""
    return [f"{side} {speaker}/{name}/{i:05}.wav" for i, side in enumerate(sides, 1)]


def build(root: Path, lines: list[str], audio: str = "wav") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "iden_split.txt").write_bytes("".join(f"{line}\n" for line in lines).encode())
    for line in lines:
        path = root / audio / line.split()[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(WAV)
    return root


def official() -> list[str]:
    """Three speakers; one video of the second is both in train and in validation."""
    return [
        *video("id10003", "vvvvvvvvvvv", "111"),
        *video("id10003", "-starts_odd", "33"),
        *video("id10003", "wwwwwwwwwww", "2"),
        *video("id10001", "aaaaaaaaaaa", "1111"),
        *video("id10001", "bbbbbbbbbbb", "22"),
        *video("id10001", "ccccccccccc", "3"),
        *video("id10002", "leaking____", "112"),
        *video("id10002", "ddddddddddd", "3"),
    ]


def many(speakers: int = 8, seed: int = 1) -> list[str]:
    """Speakers with 4 to 20 videos of 1 to 12 utterances, as uneven as the real ones."""
    draw = random.Random(seed)
    return [
        line
        for s in range(1, speakers + 1)
        for v in range(draw.randint(4, 20))
        for line in video(f"id{10000 + s}", f"video{v:06}", "1" * draw.randint(1, 12))
    ]


def rows(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def by_speaker(manifest: Path) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows(manifest):
        found[row["speaker"]].append(row)
    return found


@pytest.fixture
def corpus(tmp_path):
    return build(tmp_path / "vox", official())


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Read by several tests, which write their manifests elsewhere."""
    return build(tmp_path_factory.mktemp("large"), many())


# The official split


def test_the_official_split_is_kept_utterance_by_utterance(corpus):
    report = arrange_voxceleb1(corpus)
    expected = {}
    for line in official():
        side, path = line.split()
        expected[f"wav/{path}"] = (path.split("/")[0], path.split("/")[1], SIDES[side])
    found = {r["path"]: (r["speaker"], r["session"], r["split"]) for r in rows(report.manifest)}
    assert found == expected
    assert report == VoxCelebReport(
        manifest=corpus / "voxceleb1.csv",
        speakers=3,
        utterances={"train": 9, "validation": 4, "test": 4},
        leaking_videos=1,
        missing=0,
        absent_speakers=(),
    )


def test_the_manifest_is_plain_sorted_csv_whatever_the_order_of_the_list(corpus):
    arrange_voxceleb1(corpus)
    written = (corpus / "voxceleb1.csv").read_bytes()
    lines = written.decode().splitlines()
    assert lines[0] == "path,speaker,session,split"
    assert lines[1] == "wav/id10001/aaaaaaaaaaa/00001.wav,id10001,aaaaaaaaaaa,train"
    assert lines[1:] == sorted(lines[1:])
    assert b"\r" not in written
    listing = corpus / "iden_split.txt"
    listing.write_text("\n".join(reversed(listing.read_text().splitlines())))
    arrange_voxceleb1(corpus)
    assert (corpus / "voxceleb1.csv").read_bytes() == written


@pytest.mark.parametrize(
    "options", [{}, {"new_split": NewSplit()}, {"n_speakers": 2}, {"download": True}]
)
def test_nothing_but_the_manifest_is_touched(corpus, options):
    def state():
        return {p: (p.stat().st_mtime_ns, p.is_file() and p.read_bytes()) for p in before}

    before = [p for p in corpus.rglob("*") if p != corpus]
    was = state()
    arrange_voxceleb1(corpus, **options)
    assert state() == was
    assert set(corpus.rglob("*")) - set(before) == {corpus / "voxceleb1.csv"}


def test_paths_are_relative_to_a_manifest_in_another_folder(corpus, tmp_path):
    other = tmp_path / "a, b" / "deep"
    other.mkdir(parents=True)
    report = arrange_voxceleb1(corpus, manifest=other / "mine.csv")
    assert report.manifest == other / "mine.csv"
    assert not (corpus / "voxceleb1.csv").exists()
    for row in rows(report.manifest):
        assert not Path(row["path"]).is_absolute()
        assert (other / row["path"]).read_bytes() == WAV


def test_the_manifest_is_read_back_as_it_was_written(corpus, tmp_path):
    for manifest in (None, tmp_path / "elsewhere.csv"):
        read = read_manifest(arrange_voxceleb1(corpus, manifest=manifest).manifest)
        assert read.speakers == ["id10001", "id10002", "id10003"]
        assert Counter(clip.split for clip in read.clips) == {
            "train": 9,
            "validation": 4,
            "test": 4,
        }
        assert {clip.session for clip in read.clips} == {line.split("/")[1] for line in official()}
        assert all(clip.source.read_bytes() == WAV for clip in read.clips)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems want text for names")
def test_a_folder_whose_name_is_not_utf8(tmp_path):
    root = build(tmp_path / os.fsdecode(b"caf\xe9"), official())
    for manifest in (None, tmp_path / "elsewhere.csv"):
        read = read_manifest(arrange_voxceleb1(root, manifest=manifest).manifest)
        assert all(clip.source.read_bytes() == WAV for clip in read.clips)


def test_audio_and_manifest_behind_symbolic_links(corpus, tmp_path):
    (corpus / "wav").rename(tmp_path / "disk")
    (corpus / "wav").symlink_to(tmp_path / "disk")
    (tmp_path / "x" / "y").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "x" / "y")
    here = arrange_voxceleb1(corpus).manifest
    assert rows(here)[0]["path"].startswith("wav/id10001/")
    there = arrange_voxceleb1(corpus, manifest=tmp_path / "link" / "m.csv").manifest
    assert all((there.parent / row["path"]).is_file() for row in rows(there))
    build(tmp_path / "x" / "vox", official()[:-1])  # which is what "link/../vox" means
    odd = arrange_voxceleb1(tmp_path / "link" / ".." / "vox", manifest=tmp_path / "m.csv").manifest
    assert rows(odd)[0]["path"].startswith("x/vox/wav/id10001/")


def test_a_relative_dataset_folder(corpus, monkeypatch):
    monkeypatch.chdir(corpus)
    report = arrange_voxceleb1(Path())
    assert report.manifest == Path("voxceleb1.csv")
    assert all(Path(row["path"]).is_file() for row in rows(report.manifest))


def test_windows_line_ends_a_byte_order_mark_and_blank_lines(corpus):
    expected = arrange_voxceleb1(corpus)
    wanted = rows(expected.manifest)
    listing = corpus / "iden_split.txt"
    listing.write_bytes(b"\xef\xbb\xbf" + listing.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert arrange_voxceleb1(corpus) == expected
    assert rows(expected.manifest) == wanted


def test_the_list_inside_the_wav_folder(corpus):
    (corpus / "iden_split.txt").rename(corpus / "wav" / "iden_split.txt")
    assert arrange_voxceleb1(corpus).speakers == 3


def test_speakers_directly_in_the_folder(tmp_path):
    build(tmp_path, official(), audio=".")
    report = arrange_voxceleb1(tmp_path)
    assert rows(report.manifest)[0]["path"] == "id10001/aaaaaaaaaaa/00001.wav"


# The first N speakers


def test_the_first_speakers_in_the_order_of_their_ids(corpus):
    report = arrange_voxceleb1(corpus, n_speakers=2)
    assert report.speakers == 2
    assert sorted(by_speaker(report.manifest)) == ["id10001", "id10002"]


def test_speakers_without_audio_are_skipped_and_reported(corpus):
    for path in (corpus / "wav" / "id10001").rglob("*.wav"):
        path.unlink()
    report = arrange_voxceleb1(corpus, n_speakers=2)
    assert sorted(by_speaker(report.manifest)) == ["id10002", "id10003"]
    assert report.absent_speakers == ("id10001",)
    assert report.missing == 7


def test_missing_files_of_speakers_not_asked_for_do_not_count(corpus):
    (corpus / "wav/id10003/wwwwwwwwwww/00001.wav").unlink()
    assert arrange_voxceleb1(corpus, n_speakers=2).missing == 0
    assert arrange_voxceleb1(corpus).missing == 1


@pytest.mark.parametrize("number", [-1, 0, 1, 1252])
def test_impossible_numbers_of_speakers(corpus, number):
    with pytest.raises(UsageError, match=rf"^{number} speakers asked for: .*2 to 1251"):
        arrange_voxceleb1(corpus, n_speakers=number)
    assert not (corpus / "voxceleb1.csv").exists()


def test_more_speakers_than_are_there(corpus):
    with pytest.raises(UsageError, match="4 speakers asked for, 3 have audio"):
        arrange_voxceleb1(corpus, n_speakers=4)


# A new split


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


# Bad corpora


@pytest.mark.parametrize(
    "line",
    [
        b"4 id10001/v/00009.wav",
        b"0 id10001/v/00009.wav",
        b"id10001/v/00009.wav",
        b"1",
        b"1 id10001/00009.wav",
        b"1 id10001/v/w/00009.wav",
        b"1 id10001/v/00009.flac",
        b"1 id10001/v/00009.wav 2",
        b"1 ../../etc/00009.wav",
        b"1 id10001/../00009.wav",
        b"1 /id10001/v/00009.wav",
        b"1 id10001/v\\00009.wav",
        b"1 id10001/v,w/00009.wav",
        b"1 id10001/\xff\xfe/00009.wav",
        b"1 id10001/\x1b[31m/00009.wav",
        b"<!DOCTYPE html>",
        b"\0" * 1000,
        b"1 id10001/v/00009.wav\r1 id10001/v/00010.wav",
    ],
)
def test_malformed_lines_are_refused_with_file_and_number(corpus, line):
    listing = corpus / "iden_split.txt"
    lines = listing.read_bytes().splitlines(keepends=True)
    listing.write_bytes(b"".join([*lines[:4], line + b"\r\n", *lines[4:]]))
    with pytest.raises(CorpusError, match=r"iden_split\.txt:5: malformed line") as caught:
        arrange_voxceleb1(corpus)
    assert "1 id10001/1zcIwhmdeo4/00001.wav" in caught.value.hint
    assert len(caught.value.message) < 500
    assert caught.value.message.isprintable()
    assert not (corpus / "voxceleb1.csv").exists()


@pytest.mark.parametrize("side", ["1", "3"])
def test_a_file_listed_twice_is_refused(corpus, side):
    with (corpus / "iden_split.txt").open("a") as file:
        file.write(f"{side} id10003/vvvvvvvvvvv/00002.wav\n")
    message = r"iden_split\.txt:18: id10003/vvvvvvvvvvv/00002\.wav is in line 2 too"
    with pytest.raises(CorpusError, match=message):
        arrange_voxceleb1(corpus)


def test_missing_files_are_counted_and_left_out(corpus):
    gone = ["wav/id10001/aaaaaaaaaaa/00002.wav", "wav/id10002/ddddddddddd/00001.wav"]
    for path in gone:
        (corpus / path).unlink()
    report = arrange_voxceleb1(corpus)
    assert report.missing == 2
    assert report.speakers == 3
    assert report.utterances == {"train": 8, "validation": 4, "test": 3}
    assert not set(gone) & {row["path"] for row in rows(report.manifest)}
    assert len(rows(report.manifest)) == 15


def test_a_folder_in_the_place_of_a_file_is_missing(corpus):
    path = corpus / "wav/id10001/ccccccccccc/00001.wav"
    path.unlink()
    path.mkdir()
    assert arrange_voxceleb1(corpus).missing == 1


def test_everything_missing(corpus):
    for path in corpus.rglob("*.wav"):
        path.unlink()
    with pytest.raises(CorpusError, match=r"0 of the speakers .* 17 files are missing") as caught:
        arrange_voxceleb1(corpus)
    assert "mm.kaist.ac.kr" in caught.value.hint
    assert not (corpus / "voxceleb1.csv").exists()


def test_one_speaker_is_not_enough(tmp_path):
    build(tmp_path, video("id10001", "v", "123"))
    with pytest.raises(CorpusError, match="1 of the speakers"):
        arrange_voxceleb1(tmp_path)


def test_an_empty_list(corpus):
    (corpus / "iden_split.txt").write_bytes(b"")
    with pytest.raises(CorpusError, match="0 of the speakers"):
        arrange_voxceleb1(corpus)


def test_what_is_missing_is_named(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder in (empty, tmp_path / "nowhere"):
        with pytest.raises(CorpusError, match=r"^no iden_split\.txt and no folder 'wav' in "):
            arrange_voxceleb1(folder)
    listed = build(tmp_path / "listed", [])
    with pytest.raises(CorpusError, match=r"^no folder 'wav' in ") as caught:
        arrange_voxceleb1(listed)
    assert str(listed / "wav") in caught.value.hint
    build(tmp_path / "unlisted", official())
    (tmp_path / "unlisted" / "iden_split.txt").unlink()
    with pytest.raises(CorpusError, match=r"^no iden_split\.txt in "):
        arrange_voxceleb1(tmp_path / "unlisted")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO here")
def test_a_fifo_named_like_the_list_does_not_block(corpus):
    (corpus / "iden_split.txt").unlink()
    os.mkfifo(corpus / "iden_split.txt")
    with pytest.raises(CorpusError, match=r"no iden_split\.txt"):
        arrange_voxceleb1(corpus)


def test_a_list_that_cannot_be_read(corpus, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CorpusError, match=r"cannot read .*Permission denied"):
        arrange_voxceleb1(corpus)


# Writing: the whole manifest or the old one


class FullDisk(OSError):
    def __init__(self):
        super().__init__(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("failing", ["replace", "fsync", "write"])
@pytest.mark.parametrize("failure", [FullDisk, KeyboardInterrupt])
@pytest.mark.parametrize("old", [None, b"path,speaker,session,split\nthe old one\n"])
def test_never_half_a_manifest(corpus, monkeypatch, failing, failure, old):
    manifest = corpus / "voxceleb1.csv"
    if old is not None:
        manifest.write_bytes(old)
    before = set(corpus.rglob("*"))
    called = []

    def fail(*args, **kwargs):
        called.append(args)
        raise failure()

    if failing == "write":
        really = os.fdopen

        def half_open(*args, **kwargs):
            file = really(*args, **kwargs)

            class Half:
                def __enter__(self):
                    return self

                def __exit__(self, *args):
                    file.close()

                def write(self, data):
                    file.write(data[: len(data) // 2])
                    file.flush()
                    fail()

            return Half()

        monkeypatch.setattr(os, "fdopen", half_open)
    else:
        monkeypatch.setattr(os, failing, fail)
    expected = KeyboardInterrupt if failure is KeyboardInterrupt else VoxedgeError
    with pytest.raises(expected) as caught:
        arrange_voxceleb1(corpus)
    monkeypatch.undo()
    assert called
    if expected is VoxedgeError:
        assert f"cannot write {manifest}" in str(caught.value)
        assert "No space left" in str(caught.value)
    assert set(corpus.rglob("*")) == before  # no temporary file either
    assert (manifest.read_bytes() if old is not None else None) == old


def test_a_manifest_is_replaced_whole(corpus):
    (corpus / "voxceleb1.csv").write_bytes(b"x" * 100_000)
    assert len(rows(arrange_voxceleb1(corpus).manifest)) == 17


@pytest.mark.parametrize("name", ["iden_split.txt", "wav/id10001/aaaaaaaaaaa/00001.wav", "m"])
def test_a_manifest_cannot_take_the_place_of_the_corpus(corpus, name):
    with pytest.raises(UsageError, match=r"must be a \.csv file"):
        arrange_voxceleb1(corpus, manifest=corpus / name)


def test_a_manifest_in_an_impossible_place(corpus):
    with pytest.raises(UsageError, match=r"no folder .*nowhere"):
        arrange_voxceleb1(corpus, manifest=corpus / "nowhere" / "m.csv")
    (corpus / "folder.csv").mkdir()
    before = set(corpus.rglob("*"))
    with pytest.raises(VoxedgeError, match="cannot write"):
        arrange_voxceleb1(corpus, manifest=corpus / "folder.csv")
    assert set(corpus.rglob("*")) == before


# Downloading, without a network


@pytest.fixture
def torchaudio_class(monkeypatch):
    """A stand-in for torchaudio's class; ``calls`` holds what its signature makes of a call."""
    datasets = pytest.importorskip("torchaudio.datasets")
    signature = inspect.signature(datasets.VoxCeleb1Identification)

    class Standin:
        calls: ClassVar[list[dict]] = []
        failure: ClassVar[BaseException | None] = None

        def __init__(self, *args, **kwargs):
            bound = signature.bind(*args, **kwargs).arguments
            self.calls.append(dict(bound))
            assert Path(bound["root"]).is_dir()
            if self.failure:
                raise self.failure
            build(Path(bound["root"]), official())

    monkeypatch.setattr(datasets, "VoxCeleb1Identification", Standin)
    return Standin


def test_download_asks_torchaudio_and_arranges_the_result(torchaudio_class, tmp_path):
    root = tmp_path / "not" / "yet"
    report = arrange_voxceleb1(root, download=True)
    assert torchaudio_class.calls == [{"root": root, "subset": "train", "download": True}]
    assert report.utterances == {"train": 9, "validation": 4, "test": 4}


def test_download_fetches_a_list_that_alone_is_missing(torchaudio_class, corpus):
    (corpus / "iden_split.txt").unlink()
    assert arrange_voxceleb1(corpus, download=True).speakers == 3
    assert len(torchaudio_class.calls) == 1


def test_torchaudio_is_used_only_to_download_what_is_missing(torchaudio_class, corpus, tmp_path):
    arrange_voxceleb1(corpus)
    arrange_voxceleb1(corpus, download=True)
    with pytest.raises(CorpusError):
        arrange_voxceleb1(tmp_path / "nothing")
    flat = build(tmp_path / "flat", official(), audio=".")
    (flat / "iden_split.txt").unlink()
    with pytest.raises(CorpusError, match=r"no iden_split\.txt"):  # not 40 GB for one text file
        arrange_voxceleb1(flat, download=True)
    assert torchaudio_class.calls == []


def test_impossible_arguments_are_refused_before_the_download(torchaudio_class, tmp_path):
    for options in ({"n_speakers": 1252}, {"manifest": tmp_path / "m.txt"}):
        with pytest.raises(UsageError):
            arrange_voxceleb1(tmp_path, download=True, **options)
    assert torchaudio_class.calls == []


@pytest.mark.parametrize(
    "failure",
    [OSError("HTTP Error 401: Unauthorized"), RuntimeError("invalid hash value"), MemoryError()],
)
def test_a_failed_download_says_what_to_do_by_hand(torchaudio_class, tmp_path, failure):
    torchaudio_class.failure = failure
    with pytest.raises(CorpusError, match="could not be downloaded") as caught:
        arrange_voxceleb1(tmp_path, download=True)
    assert type(failure).__name__ in caught.value.message
    assert str(failure) in caught.value.message
    assert str(tmp_path / "wav") in caught.value.hint
    assert str(tmp_path / "iden_split.txt") in caught.value.hint
    assert "form" in caught.value.hint
    assert caught.value.__cause__ is failure


def test_an_interrupted_download_stays_an_interrupt(torchaudio_class, tmp_path):
    torchaudio_class.failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        arrange_voxceleb1(tmp_path, download=True)


def test_download_without_torchaudio_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    monkeypatch.setitem(sys.modules, "torchaudio.datasets", None)
    with pytest.raises(MissingExtra) as caught:
        arrange_voxceleb1(tmp_path, download=True)
    assert caught.value.hint == install_command("train")


def test_the_real_class_of_torchaudio_with_only_its_network_replaced(monkeypatch, tmp_path):
    module = pytest.importorskip("torchaudio.datasets.voxceleb1")
    urls = []

    def fetch(url, path, hash_prefix=None):
        urls.append(url)
        text = "".join(f"{line}\n" for line in official()) if url.endswith(".txt") else "zip"
        Path(path).write_text(text)

    def extract(archive):
        for line in official():
            path = Path(archive).parent / "wav" / line.split()[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(WAV)

    monkeypatch.setattr(module, "download_url_to_file", fetch)
    monkeypatch.setattr(module, "_extract_zip", extract)
    report = arrange_voxceleb1(tmp_path / "vox", download=True)
    assert report.utterances == {"train": 9, "validation": 4, "test": 4}
    assert sum("vox1_dev" in url or "vox1_test" in url for url in urls) == 5
    assert sum(url.endswith("/iden_split.txt") for url in urls) == 1
    del urls[:]
    assert arrange_voxceleb1(tmp_path / "vox", download=True) == report
    assert urls == []
