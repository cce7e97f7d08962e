"""What of VoxCeleb1 is refused or left alone, and never half a manifest."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.data.voxceleb import build, official, rows, video
from voxedge.data.voxceleb import arrange_voxceleb1
from voxedge.errors import CorpusError, UsageError, VoxedgeError


@pytest.fixture
def corpus(tmp_path):
    return build(tmp_path / "vox", official())


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
