"""Downloading VoxCeleb1, without a network."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from tests.data.voxceleb import WAV, build, official
from voxedge.data.voxceleb import arrange_voxceleb1
from voxedge.errors import CorpusError, MissingExtra, UsageError
from voxedge.install import install_command


@pytest.fixture
def corpus(tmp_path):
    return build(tmp_path / "vox", official())


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
