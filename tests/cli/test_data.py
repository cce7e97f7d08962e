"""``voxedge data``."""

from __future__ import annotations

import shutil

import pytest

from tests.conftest import SPEAKERS, records, voxedge, write_corpus


def test_data_check_says_what_is_wrong(tmp_path):
    root = write_corpus(tmp_path / "data", clips=4)
    clean = voxedge("data", "check", cwd=tmp_path)
    assert clean.returncode == 0, clean.stderr
    assert "4 speakers, 16 usable clips of 16" in clean.stdout
    shutil.copy(root / "ada" / "00.wav", root / "ben" / "stolen.wav")
    dirty = voxedge("data", "check", "data", cwd=tmp_path)
    assert dirty.returncode == 5
    assert "the same audio as ben/stolen.wav, of another speaker" in dirty.stdout
    (report,) = records(voxedge("data", "check", "data", "--json", cwd=tmp_path).stdout)
    assert {p["code"] for p in report["problems"]} == {"conflict"}


def test_voxceleb1_options_without_effect_are_refused(tmp_path):
    done = voxedge("data", "voxceleb1", "--dataset-dir", ".", "--train-size", "0.5", cwd=tmp_path)
    assert done.returncode == 2
    assert "--train-size need --resplit" in done.stderr


def test_data_check_names_the_speakers_without_a_usable_clip(tmp_path):
    root = write_corpus(tmp_path / "data", clips=4)
    (root / "eve").mkdir()
    (root / "fay").mkdir()
    for number in range(3):
        (root / "fay" / f"{number}.wav").write_bytes(b"")
    done = voxedge("data", "check", cwd=tmp_path)
    assert done.returncode == 5
    assert "2 speakers left out, without a usable clip" in done.stdout
    assert "eve: an empty folder" in done.stdout
    assert "  fay: 3 clips: the file is empty" in done.stdout
    (report,) = records(voxedge("data", "check", "--json", cwd=tmp_path).stdout)
    assert list(report["left_out"]) == ["eve", "fay"]


@pytest.mark.parametrize("other", ["Ada", "ada "])
def test_data_check_refuses_names_that_look_alike(tmp_path, other):
    write_corpus(tmp_path / "data", clips=1, speakers={**SPEAKERS, other: 99.0})
    done = voxedge("data", "check", cwd=tmp_path)
    assert done.returncode == 3
    assert (
        f"only in case or blanks: {' and '.join(map(repr, sorted(['ada', other])))}" in done.stderr
    )
