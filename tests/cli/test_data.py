"""``voxedge data``."""

from __future__ import annotations

import shutil

import pytest

from tests.conftest import SPEAKERS, records, write_corpus


def test_data_check_says_what_is_wrong(here, tmp_path):
    root = write_corpus(tmp_path / "data", clips=4)
    clean = here("data", "check")
    assert clean.returncode == 0, clean.stderr
    assert "4 speakers, 16 usable clips of 16" in clean.stdout
    shutil.copy(root / "ada" / "00.wav", root / "ben" / "stolen.wav")
    dirty = here("data", "check", "data")
    assert dirty.returncode == 5
    assert "the same audio as ben/stolen.wav, of another speaker" in dirty.stdout
    (report,) = records(here("data", "check", "data", "--json").stdout)
    assert {p["code"] for p in report["problems"]} == {"conflict"}


def test_voxceleb1_options_without_effect_are_refused(here, tmp_path):
    done = here("data", "voxceleb1", "--dataset-dir", ".", "--train-size", "0.5")
    assert done.returncode == 2
    assert "--train-size need --resplit" in done.stderr


def test_data_check_names_the_speakers_without_a_usable_clip(here, tmp_path):
    root = write_corpus(tmp_path / "data", clips=4)
    (root / "eve").mkdir()
    (root / "fay").mkdir()
    for number in range(3):
        (root / "fay" / f"{number}.wav").write_bytes(b"")
    done = here("data", "check")
    assert done.returncode == 5
    assert "2 speakers left out, without a usable clip" in done.stdout
    assert "eve: an empty folder" in done.stdout
    assert "  fay: 3 clips: the file is empty" in done.stdout
    (report,) = records(here("data", "check", "--json").stdout)
    assert list(report["left_out"]) == ["eve", "fay"]


@pytest.mark.parametrize("other", ["Ada", "ada "])
def test_data_check_refuses_names_that_look_alike(here, tmp_path, other):
    write_corpus(tmp_path / "data", clips=1, speakers={**SPEAKERS, other: 99.0})
    done = here("data", "check")
    assert done.returncode == 3
    assert (
        f"only in case or blanks: {' and '.join(map(repr, sorted(['ada', other])))}" in done.stderr
    )
