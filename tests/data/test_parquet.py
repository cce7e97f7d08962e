"""Parquet files with audio in them, as ``datasets`` writes them."""

from __future__ import annotations

import json

import pytest

from tests.conftest import RATE
from voxedge.data.corpus import load_corpus
from voxedge.data.manifest import read_manifest
from voxedge.errors import CorpusError, UnreadableAudio

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: the extra scale")
pq = pytest.importorskip("pyarrow.parquet")


def table(folder, **columns):
    """The clips of a folder, a row each."""
    files = sorted(folder.rglob("*.wav"))
    audio = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    return pa.table({"audio": audio, **(columns or {"speaker": [f.parent.name for f in files]})})


@pytest.fixture(scope="module")
def data(corpus_folder, tmp_path_factory):
    """The corpus in two files with groups of five rows."""
    folder = tmp_path_factory.mktemp("parquet")
    rows = table(corpus_folder)
    pq.write_table(rows.slice(0, 12), folder / "train-0.parquet", row_group_size=5)
    pq.write_table(rows.slice(12), folder / "train-1.parquet", row_group_size=5)
    return folder


def test_parquet_is_the_corpus_of_the_folder(corpus_folder, data):
    manifest = read_manifest(data)
    assert manifest.clips[0].name == "train-0.parquet/00000000-00.wav"
    theirs = load_corpus(read_manifest(corpus_folder), RATE)
    assert load_corpus(manifest, RATE, workers=2).digest == theirs.digest
    assert len(read_manifest(data / "train-1.parquet").clips) == 20


def test_classes_have_the_names_of_the_metadata(corpus_folder, tmp_path):
    rows = table(corpus_folder, speaker_id=[n // 8 for n in range(32)], session=[7] * 32)
    features = {"speaker_id": {"names": ["ada", "ben", "cleo", "dan"], "_type": "ClassLabel"}}
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    pq.write_table(rows.replace_schema_metadata(about), tmp_path / "a.parquet")
    manifest = read_manifest(tmp_path)
    assert manifest.speakers == ["ada", "ben", "cleo", "dan"]
    assert {clip.session for clip in manifest.clips} == {"7"}
    pq.write_table(rows, tmp_path / "a.parquet")
    assert read_manifest(tmp_path).speakers == ["0", "1", "2", "3"]


def test_what_is_wrong_is_named(corpus_folder, tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"audio": ["x.wav"], "text": ["hello"]}), path)
    with pytest.raises(CorpusError, match=r"0 columns of audio and no column speaker or .*text"):
        read_manifest(path)
    pq.write_table(table(corpus_folder, speaker=[None] * 32), path)
    with pytest.raises(CorpusError, match="row 0 has no speaker"):
        read_manifest(path)
    path.write_bytes(b"PAR1")
    with pytest.raises(CorpusError, match="is not a Parquet file"):
        read_manifest(path)


def test_a_row_without_bytes_is_left_out(tmp_path):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    audio = pa.array([{"bytes": None, "path": "/gone/a.wav"}, None], kind)
    pq.write_table(pa.table({"audio": audio, "speaker": ["ada", "ben"]}), tmp_path / "a.parquet")
    for clip in read_manifest(tmp_path).clips:
        with pytest.raises(UnreadableAudio, match="the row holds no bytes"):
            clip.source.read_bytes()
