"""Shards train as the folder does that they were packed from, and survive a kill."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, voice, write_corpus
from voxedge.cli.options import one_corpus
from voxedge.data.corpus import load_corpus
from voxedge.data.dataset import TrainingSet
from voxedge.data.manifest import read_manifest
from voxedge.data.pack import pack
from voxedge.data.shards import expand
from voxedge.data.split import split_corpus
from voxedge.errors import CorpusError, UnreadableAudio, UsageError
from voxedge.files import locked
from voxedge.train.recipe import load
from voxedge.train.run import Run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four speakers, and what training leaves out."""
    root = write_corpus(tmp_path_factory.mktemp("shards") / "data", seconds=0.8)
    sound, _ = soundfile.read(root / "ada" / "00.wav")
    soundfile.write(root / "ada" / "quieter.flac", sound * 0.5, RATE)  # nearly the same
    shutil.copy(root / "cleo" / "00.wav", root / "dan" / "stolen.wav")
    soundfile.write(root / "ben" / "silent.wav", np.zeros(RATE), RATE)
    (root / "ben" / "broken.wav").write_bytes(b"no audio")
    return root


@pytest.fixture(scope="module")
def shards(folder, tmp_path_factory):
    """The same corpus in five shards; speakers reach over their ends."""
    out = tmp_path_factory.mktemp("packed") / "shards"
    report = pack(str(folder), out, clips_per_shard=8)
    assert (report.shards, report.clips) == (5, 34)
    assert {left["name"]: left["code"] for left in report.left_out} == {
        "ben/silent.wav": "silent",
        "ben/broken.wav": "unreadable",
    }
    return out


@pytest.fixture
def copied(shards, tmp_path):
    """The shards, to be damaged."""
    return Path(shutil.copytree(shards, tmp_path / "shards"))


def test_shards_are_the_corpus_of_the_folder(folder, shards):
    ours, theirs = (load_corpus(read_manifest(data), RATE) for data in (shards, folder))
    assert [entry.clip.name for entry in ours.entries] == [e.clip.name for e in theirs.entries]
    assert ours.digest == theirs.digest
    sides = [split_corpus(corpus.entries, 0.6, 0.2) for corpus in (ours, theirs)]
    assert sides[0] == sides[1]
    problems = [{p.clip.name: (p.code, p.message) for p in c.problems} for c in (ours, theirs)]
    assert problems[0] == problems[1]
    assert problems[0]["dan/stolen.wav"][0] == "conflict"  # of a clip in another shard
    assert problems[0]["ada/quieter.flac"][0] == "duplicate"


def test_training_reads_the_same_batches(folder, shards):
    batches = []
    for data in (shards, folder):
        corpus = load_corpus(read_manifest(data), RATE, memory=1 << 30)
        split = split_corpus(corpus.entries, 0.6, 0.2)
        clips = split.of(corpus.entries, "train")
        batches.append(list(TrainingSet(corpus, clips, 4, RATE // 2, True, 0, workers=2).epoch(1)))
        assert all((entry.held is None) == (data is shards) for entry in corpus.entries)
    for ours, theirs in zip(*batches, strict=True):
        assert ours.keys == theirs.keys
        np.testing.assert_array_equal(ours.pcm, theirs.pcm)


def test_another_rate_is_decoded_as_from_the_folder(folder, shards):
    digests = [load_corpus(read_manifest(data), 8_000).digest for data in (shards, folder)]
    assert digests[0] == digests[1]


def test_a_run_finds_its_clips_in_shards_again(shards, copied, tmp_path):
    corpus = load_corpus(read_manifest(shards / "{0000..0004}.tar"), RATE)
    run = Run(tmp_path / "run")
    run.describe(load("default"), corpus, split_corpus(corpus.entries, 0.6, 0.2))
    assert Path(run.corpus_info()["root"]) == shards / "{0000..0004}.tar"
    for moved in (None, copied):
        again = load_corpus(run.manifest(moved), RATE)
        assert again.digest == corpus.digest
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="the run's clips are not in"):
        run.manifest(tmp_path / "empty")


def test_a_killed_packing_is_continued_to_the_same_bytes(folder, shards, tmp_path):
    out = tmp_path / "out"
    code = f"""
import os, signal
from pathlib import Path
from voxedge.data.pack import pack
def kill(done, clips):
    if done == 19:
        os.kill(os.getpid(), signal.SIGKILL)
pack({str(folder)!r}, Path({str(out)!r}), clips_per_shard=8, progress=kill)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    names = sorted(path.name for path in out.iterdir())
    assert names[-5:] == ["0000.json", "0000.tar", "0001.json", "0001.tar", "pack.json"]
    assert any(name.startswith(".0002.tar.") for name in names)
    with pytest.raises(CorpusError, match=r"2 of 5 shards are packed .go on with the same"):
        read_manifest(out)
    before = (out / "0000.tar").stat().st_mtime_ns
    pack(str(folder), out, clips_per_shard=8, workers=2)
    assert (out / "0000.tar").stat().st_mtime_ns == before
    assert {p.name for p in out.iterdir()} == {p.name for p in shards.iterdir()}
    for path in shards.iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_folder_of_shards_holds_one_corpus(corpus_folder, folder, copied, tmp_path):
    with pytest.raises(UsageError, match=r"holds other clips, of .*data"):
        pack(str(corpus_folder), copied, clips_per_shard=8)
    with pytest.raises(UsageError, match="holds 8 clips a shard"):
        pack(str(folder), copied)
    with locked(copied / "pack.json", 1), pytest.raises(UsageError, match="another process"):
        pack(str(folder), copied, clips_per_shard=8)
    (copied / "pack.json").unlink()
    with pytest.raises(UsageError, match="shards of another program"):
        pack(str(folder), copied, clips_per_shard=8)


def test_without_an_index_the_shard_itself_is_read(shards, copied):
    for path in copied.glob("*.json"):
        path.unlink()
    ours, theirs = read_manifest(copied), read_manifest(shards)
    assert [clip.name for clip in ours.clips] == [clip.name for clip in theirs.clips]
    for one, other in zip(ours.clips, theirs.clips, strict=True):
        assert one.source.read_bytes() == other.source.read_bytes()
        assert one.examined.digest == other.examined.digest


def test_damaged_shards_are_refused(copied):
    index = copied / "0001.json"
    (copied / "0001.tar").write_bytes((copied / "0001.tar").read_bytes()[:-1024])
    with pytest.raises(CorpusError, match=r"0001.json is not the index of this 0001.tar"):
        read_manifest(copied)
    index.write_text("{")
    with pytest.raises(CorpusError, match="is not the index of a shard"):
        read_manifest(copied)
    index.unlink()
    (copied / "0001.tar").write_bytes((copied / "0001.tar").read_bytes()[:20_000])
    with pytest.raises(CorpusError, match=r"0001.tar is not a whole tar file of clips"):
        read_manifest(copied / "0001.tar")
    with pytest.raises(CorpusError, match=r"there is no shard .*0005.tar"):
        read_manifest(copied / "{0003..0005}.tar")
    clips = read_manifest(copied / "0002.tar").clips
    (copied / "0002.tar").write_bytes(b"")
    with pytest.raises(UnreadableAudio, match="cut off"):
        clips[0].source.read_bytes()
    shutil.copy(copied / "0003.tar", copied / "copy.tar")
    with pytest.raises(CorpusError, match="is in these shards twice"):
        read_manifest(copied / "{0003,copy}.tar")


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def test_shards_of_another_program(tmp_path):
    """Members in another order, in folders, and more of a clip than audio and JSON."""
    wav = io.BytesIO()
    soundfile.write(wav, voice(110.0, 0.5, 1), RATE, format="WAV")
    path = tmp_path / "train-000.tar"
    with tarfile.open(path, "w") as tar:
        for number, speaker in enumerate(("ada", "ben")):
            add(tar, f"x.y/{number}.wav", wav.getvalue())
            add(tar, f"x.y/{number}.txt", b"hello")
            add(tar, f"x.y/{number}.json", json.dumps({"speaker": speaker}).encode())
    clips = read_manifest(path).clips
    assert [(clip.name, clip.speaker, clip.examined) for clip in clips] == [
        ("train-000.tar/x.y/0.wav", "ada", None),
        ("train-000.tar/x.y/1.wav", "ben", None),
    ]
    assert clips[1].source.read_bytes() == wav.getvalue()
    with tarfile.open(path, "w") as tar:
        add(tar, "0.wav", wav.getvalue())
        add(tar, "0.json", b'{"who": "ada"}')
    with pytest.raises(CorpusError, match=r"0.json names no speaker"):
        read_manifest(path)
    with tarfile.open(path, "w") as tar:
        add(tar, "0.wav", wav.getvalue())
    with pytest.raises(CorpusError, match=r"there is no 0.json, which names the speaker"):
        read_manifest(path)


def test_webdataset_reads_the_shards(shards):
    library = pytest.importorskip("webdataset", reason="webdataset is not installed")
    found = {}
    for sample in library.WebDataset(str(shards / "{0000..0004}.tar"), shardshuffle=False):
        about = json.loads(sample["json"])
        found[about["name"]] = sample.get("wav") or sample["flac"]
    assert found == {clip.name: clip.source.read_bytes() for clip in read_manifest(shards).clips}


def test_a_url_is_packed(folder, tmp_path):
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: the extra scale")
    memory = fsspec.filesystem("memory")
    for speaker in ("ada", "ben"):
        for name in ("00.wav", "01.wav"):
            memory.pipe(f"/b/{speaker}/day1/{name}", (folder / speaker / name).read_bytes())
    memory.pipe("/b/ada/.hidden.wav", b"")
    assert pack("memory://b", tmp_path / "out").clips == 4
    clips = read_manifest(tmp_path / "out").clips
    assert [(clip.name, clip.session) for clip in clips[:1]] == [("ada/day1/00.wav", "day1")]
    assert clips[0].source.read_bytes() == (folder / "ada" / "00.wav").read_bytes()
    with pytest.raises(CorpusError, match="there are no clips at memory://nowhere"):
        pack("memory://nowhere", tmp_path / "other")


def test_an_archive_beside_speakers_is_no_shard(folder, tmp_path):
    data = Path(shutil.copytree(folder, tmp_path / "data"))
    (data / "download.tar").write_bytes(b"")
    assert read_manifest(data).ignored == ("download.tar",)


def test_braces_are_those_of_a_shell():
    assert expand("s/{08..11}.tar") == ["s/08.tar", "s/09.tar", "s/10.tar", "s/11.tar"]
    assert expand("{a,b}{1..2}") == ["a1", "a2", "b1", "b2"]
    assert expand("plain.tar") == ["plain.tar"]


def test_what_a_shell_made_of_braces_is_one_corpus():
    assert one_corpus([Path("s/00.tar"), Path("s/01.tar")]) == Path("s/{00,01}.tar")
    assert (one_corpus(None), one_corpus([Path("d")])) == (Path("data"), Path("d"))
    for several in (["a", "b"], ["s/0.tar", "t/0.tar"]):
        with pytest.raises(UsageError, match="more than one corpus"):
            one_corpus(list(map(Path, several)))
