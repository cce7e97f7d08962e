"""What goes into the manifest of VoxCeleb1."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.data.voxceleb import SIDES, WAV, build, by_speaker, official, rows
from voxedge.data.manifest import read_manifest
from voxedge.data.resplit import NewSplit
from voxedge.data.voxceleb import VoxCelebReport, arrange_voxceleb1
from voxedge.errors import UsageError


@pytest.fixture
def corpus(tmp_path):
    return build(tmp_path / "vox", official())


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


def test_speakers_of_trials_are_left_out(corpus, tmp_path):
    """VoxCeleb1-O has 40 of the 1,251: a model that is judged by it must not know them."""
    trials = tmp_path / "veri_test2.txt"
    pair = "id10002/leaking____/00001.wav id10002/ddddddddddd/00001.wav"
    trials.write_text(f"1 {pair}\n0 {pair}\n")
    report = arrange_voxceleb1(corpus, without=trials)
    assert sorted(by_speaker(report.manifest)) == ["id10001", "id10003"]
    assert report.absent_speakers == ()
    trials.write_text(trials.read_text().replace("id10002", "id99999"))
    with pytest.raises(UsageError, match=r"none of the speakers of .* is in the list of VoxCeleb1"):
        arrange_voxceleb1(corpus, without=trials)
