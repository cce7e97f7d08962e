"""Speakers of a folder that give no usable clip, and names that are one."""

from __future__ import annotations

import shutil
import unicodedata

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, write_corpus
from tests.folders import forbid
from voxedge.audio import formats
from voxedge.data.check import check_corpus
from voxedge.data.corpus import load_corpus
from voxedge.data.manifest import read_manifest, read_split
from voxedge.data.split import split_corpus
from voxedge.errors import CorpusError
from voxedge.train.recipe import load
from voxedge.train.run import Run

TWO = {"anna": 110.0, "ben": 150.0}
NFC, NFD = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A corpus from which people vanish, for all kinds of reasons."""
    monkeypatch.setattr(formats, "has_av", lambda: False)
    root = write_corpus(tmp_path / "data", clips=4, speakers=TWO)
    for speaker in ("carla", "emil", "fay", "gus", "hana", "ivo"):
        (root / speaker).mkdir()
    for number in range(4):
        (root / "carla" / f"{number}.m4a").write_bytes(b"\0\0\0 ftypM4A ")
    (root / "carla" / "5.webm").write_bytes(b"\x1aE\xdf\xa3")
    shutil.copytree(root / "anna", root / "dora")
    forbid(root / "dora", monkeypatch)
    (root / "emil" / ".DS_Store").touch()
    for number in range(3):
        soundfile.write(root / "fay" / f"{number}.wav", np.zeros(RATE), RATE)
    (root / "gus" / "1.wav").write_bytes(b"RIFF")
    shutil.copy(root / "ben" / "00.wav", root / "hana" / "1.wav")  # another's
    (root / "ivo" / "day1").mkdir()
    (root / "jan").symlink_to("/media/gone/jan")
    (root / "papers").mkdir()
    (root / "papers" / "licence.txt").touch()
    (root / "loose.wav").write_bytes(b"")
    (root / "loose.m4a").write_bytes(b"")
    return root


def test_every_speaker_without_a_usable_clip_is_named_with_the_reason(data):
    report = check_corpus(data)
    assert list(report["speakers"]) == ["anna", "ben"]
    left_out = report["left_out"]
    assert list(left_out) == ["carla", "dora", "emil", "fay", "gus", "hana", "ivo", "jan"]
    reasons = {
        "carla": "5 clips: decoded by PyAV, which is not installed (pip install",
        "dora": "a folder that may not be read (change its permissions)",
        "emil": "an empty folder",
        "fay": "3 clips: silence",
        "hana": "the same audio as ben/00.wav, of another speaker",
        "ivo": "an empty folder",
        "jan": "a link that leads nowhere",
    }
    for speaker, reason in reasons.items():
        assert reason in left_out[speaker]
    codes = {problem["path"]: problem["code"] for problem in report["problems"]}
    assert codes["carla/5.webm"] == "unreadable"
    assert codes["dora"] == "permission_denied"
    assert codes["emil"] == codes["ivo"] == "no_clips"
    assert codes["loose.wav"] == codes["loose.m4a"] == "no_speaker"
    warnings = {warning["path"]: warning["message"] for warning in report["warnings"]}
    assert warnings["papers"] == "no speaker: no audio by its ending (1 .txt)"
    assert report["ignored"] == ["papers/licence.txt"]


def test_strict_refuses_speakers_who_are_missing(data):
    for name in ("fay", "gus", "hana"):
        shutil.rmtree(data / name)
    with pytest.raises(CorpusError, match=r"carla/0.m4a: decoded by PyAV"):
        load_corpus(read_manifest(data), RATE, strict=True)


def test_of_the_first_speakers_those_on_the_way_are_named(data):
    corpus = load_corpus(read_manifest(data), RATE, speakers=2)
    assert corpus.labels == ("anna", "ben")
    assert not corpus.left_out
    for speaker in TWO:
        shutil.rmtree(data / speaker)
    corpus = load_corpus(read_manifest(data), RATE, speakers=2, min_speakers=0)
    assert list(corpus.left_out) == ["carla", "dora", "emil", "fay", "gus"]


def test_a_part_of_a_speaker_that_cannot_be_listed_is_a_problem(tmp_path, monkeypatch):
    root = write_corpus(tmp_path / "data", clips=4, speakers=TWO)
    shutil.copytree(root / "anna", root / "anna" / "day2")
    forbid(root / "anna" / "day2", monkeypatch)
    manifest = read_manifest(root)
    assert [problem.clip.name for problem in manifest.problems] == ["anna/day2"]
    assert not load_corpus(manifest, RATE).left_out


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "an empty folder"),
        (lambda root: (root / "anna").mkdir(), "no speaker folders with audio.*1 of an empty"),
        (lambda root: (root / "1.m4a").touch(), "1 clips are directly in it"),
    ],
)
def test_a_folder_without_any_clip_says_what_is_there(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(CorpusError, match=message):
        read_manifest(tmp_path)


def test_a_folder_of_speakers_that_may_not_be_read_is_an_error(tmp_path, monkeypatch):
    forbid(tmp_path, monkeypatch)
    with pytest.raises(CorpusError, match="a folder that may not be read"):
        read_manifest(tmp_path)


def test_two_forms_of_one_name_are_one_speaker_and_paths_stay(tmp_path):
    root = write_corpus(tmp_path / "data", clips=4, speakers={NFD: 110.0, "ben": 150.0})
    manifest = read_manifest(root)
    assert manifest.speakers == [NFC, "ben"]
    assert not manifest.warnings
    assert all(clip.source.is_file() for clip in manifest.clips)
    assert {clip.name.split("/")[0] for clip in manifest.clips} == {"ben", NFD}
    soundfile.write(write_corpus(root, 0, speakers={NFC: 1.0}) / NFC / "x.wav", np.ones(9), RATE)
    manifest = read_manifest(root)
    assert manifest.speakers == [NFC, "ben"]
    assert len([clip for clip in manifest.clips if clip.speaker == NFC]) == 5
    ((name, message),) = manifest.warnings
    assert name == NFC
    assert "2 folders have this name" in message


@pytest.mark.parametrize("other", ["Anna", "anna ", " anna", "an na", "ANNA\u200b"])
def test_names_that_look_alike_are_refused_by_name(tmp_path, other):
    root = write_corpus(tmp_path / "data", clips=1, speakers={**TWO, other: 99.0})
    with pytest.raises(CorpusError, match="only in case or blanks") as caught:
        read_manifest(root)
    assert repr(other) in str(caught.value)
    assert "'anna'" in str(caught.value)


def test_a_blank_name_is_refused(tmp_path):
    root = write_corpus(tmp_path / "data", clips=1, speakers={**TWO, " ": 99.0})
    with pytest.raises(CorpusError, match="the name of a speaker is blank"):
        read_manifest(root)


def test_a_run_keeps_the_labels_and_clips_that_it_began_with(tmp_path):
    root = write_corpus(tmp_path / "data", clips=4, speakers={"ann": 110.0, "ben": 150.0})
    sound, _ = soundfile.read(root / "ann" / "00.wav")
    corpus = load_corpus(read_manifest(root), RATE)
    run = Run(tmp_path / "run")
    run.describe(load("default"), corpus, split_corpus(corpus.entries, 0.6, 0.2))
    table = tmp_path / "run" / "split.csv"
    table.write_text(table.read_text().replace(",ben,", f",{NFD},"))  # as older versions wrote it
    soundfile.write(root / "ann" / "00.mp3", sound, RATE)
    rows = table.read_text().splitlines()
    table.write_text("\n".join([*rows, rows[1].replace("00.wav", "00.mp3")]) + "\n")
    manifest = run.manifest()
    assert manifest.speakers == [NFD, "ann"]
    again = load_corpus(manifest, RATE)
    assert "ann/00.mp3" in {entry.clip.name for entry in again.entries}
    assert again.labels == (NFD, "ann")
    assert read_split(table, root) == manifest
