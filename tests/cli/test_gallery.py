"""``voxedge enroll``, ``gallery`` and ``verify``, and ``voxedge identify --gallery``."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from docs.check import ROOT, code_blocks
from tests.conftest import RATE, records
from tests.gallery.conftest import (
    PITCHES,
    tones_taken_for_speech,
    write_other_model,
    write_spectrum_model,
    write_tone,
)
from voxedge.cli.app import run
from voxedge.gallery.gallery import Gallery


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_spectrum_model(tmp_path_factory.mktemp("model") / "model.onnx")


@pytest.fixture(scope="module", autouse=True)
def _tones():
    with tones_taken_for_speech():
        yield


@pytest.fixture(scope="module")
def prepared(model, tmp_path_factory):
    """Clips of four voices and of strangers; Ada, Ben and Cleo enrolled, the gallery calibrated."""
    folder = tmp_path_factory.mktemp("prepared")
    for name, hertz in PITCHES.items():
        for number in range(4):
            write_tone(folder / name / f"{number}.wav", hertz, seed=number)
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    gallery = ["--gallery", str(folder / "people.vxg"), "--model", str(model)]
    for name in ("ada", "ben", "cleo"):
        clips = [str(folder / name / f"{number}.wav") for number in range(3)]
        assert run(["enroll", name, *clips, *gallery]) == 0
    for number in range(8):
        for clip in range(3):
            path = folder / "strangers" / f"s{number}" / f"{clip}.wav"
            write_tone(path, 400.0 + 70 * number, seed=clip)
    assert run(["gallery", "calibrate", str(folder / "strangers"), *gallery]) == 0
    return folder


@pytest.fixture
def people(prepared, model, tmp_path, monkeypatch):
    """A copy of what is prepared, as the current folder."""
    folder = tmp_path / "people"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("VOXEDGE_MODEL", str(model))
    return folder


@pytest.fixture
def folder(people):
    """The same without a gallery."""
    (people / "people.vxg").unlink()
    return people


def test_enrolling_says_how_much_is_there(folder, capsys):
    assert run(["enroll", "ada", "ada", "silent.wav"]) == 5
    out, err = capsys.readouterr()
    assert out.startswith("ada: 4 clips, ")
    assert "of the 10 s that are wanted" in out
    assert "silent.wav  left out: no_speech" in out
    assert "no threshold is known for model.onnx, so voices were not compared" in err
    assert run(["enroll", "ben", "ben/0.wav", "ben/1.wav", "--json"]) == 0
    (record,) = records(capsys.readouterr().out)
    assert record["name"] == "ben"
    assert (record["clips"], record["checked"]) == (2, False)
    assert [report["reason"] for report in record["reports"]] == [None, None]


def test_calibrating_says_what_was_measured(people, capsys):
    assert run(["gallery", "calibrate", "strangers"]) == 0
    assert capsys.readouterr().out.startswith("24 clips of 8 speakers: of strangers 5 % reach")
    assert run(["gallery", "calibrate", "ada"]) == 3  # no folders of speakers


def test_refused_enrolments(people, capsys):
    before = (people / "people.vxg").read_bytes()
    assert run(["enroll", "dan", "dan/0.wav", "dan/1.wav", "ada/3.wav", "--json"]) == 3
    out, err = capsys.readouterr()
    (record,) = records(out)
    assert record["error"]["code"] == "another_voice"
    assert record["reports"][2]["reason"] == "another_voice"
    assert "3.wav does not sound like the other clips of dan" in err
    assert run(["enroll", "eve", "ada/3.wav"]) == 3
    assert (
        "eve was not enrolled: the voice sounds like ada (cosine 1.00)" in capsys.readouterr().err
    )
    assert run(["enroll", "Ada", "ada/3.wav"]) == 2
    assert run(["enroll", "dan", "silent.wav"]) == 3
    assert run(["enroll", "dan", "missing.wav"]) == 3
    assert run(["enroll", "dan", "dan/0.wav", "--gallery", "no/people.vxg"]) == 2
    assert (people / "people.vxg").read_bytes() == before
    assert run(["enroll", "eve", "ada/3.wav", "--force"]) == 0


def test_identifying_by_a_gallery(people, capsys):
    words = ["identify", "--gallery", "people.vxg", "ada/3.wav", "dan/0.wav", "silent.wav"]
    assert run([*words, "--json"]) == 0
    ada, dan, silent = records(capsys.readouterr().out)
    assert (ada["speaker"], ada["matches"][0]["speaker"]) == ("ada", "ada")
    assert ada["predictions"][0]["speaker"] == "ada"
    assert ada["predictions"][0]["probability"] > 0.5 > dan["known"]
    assert ada["threshold"]["basis"] == "strangers"
    assert (dan["speaker"], dan["reason"], len(dan["matches"])) == (None, "unknown", 3)
    assert (silent["speaker"], silent["reason"], silent["matches"]) == (None, "no_speech", [])
    assert run([*words, "--top-k", "1"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"ada .* cosine  1.00 +\d+\.\d %\n", out)
    assert "unknown: nobody reaches a cosine of" in out
    assert run([*words, "--threshold", "1.0", "--json"]) == 0
    assert {r["speaker"] for r in records(capsys.readouterr().out)} == {None}
    assert run([*words, "--accept", "10%", "--json"]) == 0
    assert run([*words, "--accept", "nothing"]) == 2
    assert run([*words, "--threshold", "2"]) == 2


def test_thresholds_need_a_gallery(people, capsys):
    assert run(["identify", "ada/3.wav", "--accept", "1%"]) == 2
    assert run(["identify", "ada/3.wav"]) == 4  # the file names nobody
    assert "voxedge enroll NAME CLIP..." in capsys.readouterr().err


def test_without_a_threshold_nobody_is_named(folder, capsys):
    assert run(["enroll", "ada", "ada/0.wav"]) == 0
    assert run(["identify", "ada/1.wav", "--gallery", "people.vxg", "--json"]) == 0
    out, err = capsys.readouterr()
    record = json.loads(out.splitlines()[-1])
    assert (record["speaker"], record["reason"], record["threshold"]) == (
        None,
        "no_threshold",
        None,
    )
    assert "so nobody is named: --threshold COSINE, or voxedge gallery calibrate DATA" in err
    assert run(["verify", "ada/0.wav", "ada/1.wav"]) == 2


def test_verifying(people, capsys):
    gallery = ["--gallery", "people.vxg"]
    assert run(["verify", "ada", "ada/3.wav", *gallery]) == 0
    assert re.match(
        r"the same voice: ada and ada/3.wav, one voice with \d\d\.\d % probability, cosine 1.000,",
        capsys.readouterr().out,
    )
    assert run(["verify", "ada", "ben/3.wav", *gallery, "--json"]) == 7
    (record,) = records(capsys.readouterr().out)
    assert (record["a"], record["b"], record["same"]) == ("ada", "ben/3.wav", False)
    assert record["cosine"] < record["threshold"]["cosine"]
    assert record["probability"] < 0.5
    assert run(["verify", "ada/0.wav", "ada/3.wav", "--threshold", "0.5"]) == 0
    assert run(["verify", "ada/0.wav", "ben/3.wav", "--threshold", "0.9"]) == 7
    assert run(["verify", "dan", "ada/3.wav", *gallery]) == 2
    assert run(["verify", "ada", "silent.wav", *gallery]) == 3
    assert run(["verify", "ada", "missing.wav", *gallery]) == 3


def test_listing_and_changing(people, capsys):
    assert run(["gallery", "list", "--json"]) == 0
    rows = records(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["ada", "ben", "cleo"]
    assert run(["gallery", "rename", "ben", "benny"]) == 0
    assert run(["gallery", "merge", "ada", "cleo"]) == 3
    assert run(["gallery", "merge", "ada", "cleo", "--force"]) == 0
    assert run(["gallery", "remove", "benny"]) == 0
    assert run(["gallery", "remove", "benny"]) == 2
    capsys.readouterr()
    assert run(["gallery", "list"]) == 0
    out = capsys.readouterr().out
    assert "1 people" not in out
    assert "1 person, embeddings of model.onnx" in out
    assert "ada" in out
    assert b"ben" not in (people / "people.vxg").read_bytes()


def test_checking(people, capsys):
    assert run(["gallery", "check", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["people"], report["clips"], report["own_below"]) == (3, 9, 0.0)
    assert {finding["code"] for finding in report["findings"]} == {"incomplete"}
    assert run(["enroll", "eve", "ada/3.wav", "--force"]) == 0
    assert run(["enroll", "ben", "dan/0.wav", "--force"]) == 0
    capsys.readouterr()
    assert run(["gallery", "check"]) == 5
    out = capsys.readouterr().out
    assert "eve: too_close, sounds like ada" in out
    assert "ben: another_voice, 0.wav does not sound like the person's other clips" in out


def test_exporting(people, capsys):
    contents = Gallery(people / "people.vxg").contents
    for name in ("out.json", "out.csv", "out.npz"):
        assert run(["gallery", "export", name]) == 0
    value = json.loads((people / "out.json").read_text())
    assert [person["name"] for person in value["people"]] == ["ada", "ben", "cleo"]
    np.testing.assert_allclose(value["people"][1]["mean"], contents.people[1].mean, rtol=1e-6)
    rows = [line.split(",") for line in (people / "out.csv").read_text().splitlines()]
    assert [row[0] for row in rows] == ["name", *["ada"] * 3, *["ben"] * 3, *["cleo"] * 3]
    first = np.array(rows[1][1:], np.float32)
    np.testing.assert_array_equal(first, contents.people[0].clips[0].embedding)
    arrays = np.load(people / "out.npz")  # which refuses pickles
    np.testing.assert_array_equal(arrays["means"], contents.means)
    assert arrays["names"].tolist() == [row[0] for row in rows[1:]]
    assert run(["gallery", "export", "out.pkl"]) == 2


def test_migrating(folder, model, capsys):
    other = write_other_model(model, folder / "other.onnx")
    assert run(["enroll", "ada", "ada/0.wav", "--keep-clips"]) == 0
    words = ["identify", "ada/1.wav", "--gallery", "people.vxg", "--model", str(other)]
    assert run([*words, "--threshold", "0.9"]) == 4
    assert "gallery migrate --model other.onnx" in capsys.readouterr().err
    assert run(["gallery", "migrate", "--model", str(other)]) == 0
    assert run([*words, "--threshold", "0.9", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["speaker"] == "ada"


def test_galleries_that_cannot_be_used(folder, capsys):
    words = ["identify", "ada/0.wav", "--gallery", "people.vxg"]
    assert run(words) == 4
    assert "there is no gallery people.vxg" in capsys.readouterr().err
    assert run(["gallery", "list"]) == 4
    assert run(["enroll", "ada", "ada/0.wav"]) == 0
    whole = (folder / "people.vxg").read_bytes()
    (folder / "people.vxg").write_bytes(whole[: len(whole) // 2])
    capsys.readouterr()
    for command in (words, ["gallery", "list"], ["enroll", "ben", "ben/0.wav"]):
        assert run(command) == 4
        assert "people.vxg is damaged" in capsys.readouterr().err
    (folder / "people.vxg").write_bytes(whole)
    assert run(["gallery", "remove", "ada"]) == 0
    assert run(words) == 4
    assert "nobody is enrolled in people.vxg" in capsys.readouterr().err


def test_people_of_another_device(people, capsys):
    other = ["--gallery", "other.vxg"]
    assert run(["enroll", "dan", "dan/0.wav", "dan/1.wav", *other]) == 0
    assert run(["enroll", "ada", "ada/3.wav", *other]) == 0
    before = (people / "people.vxg").read_bytes()
    assert run(["gallery", "import", "other.vxg"]) == 2
    assert "both galleries have other clips of ada" in capsys.readouterr().err
    assert run(["gallery", "import", "none.vxg"]) == 4
    assert (people / "people.vxg").read_bytes() == before
    capsys.readouterr()
    assert run(["gallery", "import", "other.vxg", "--join"]) == 0
    assert capsys.readouterr().out == "other.vxg: 1 added, 1 joined, 0 there already\n"
    assert run(["identify", "dan/3.wav", "--gallery", "people.vxg", "--json"]) == 0
    assert records(capsys.readouterr().out)[0]["speaker"] == "dan"
    assert run(["gallery", "import", "other.vxg", "--gallery", "new.vxg"]) == 0
    assert "voices were not compared" in capsys.readouterr().err


def test_a_signed_gallery(people, capsys):
    pytest.importorskip("cryptography", reason="signed galleries need cryptography")
    from tests.gallery.test_signature import write_keys

    private, public = map(str, write_keys(people, "own"))
    _, other = map(str, write_keys(people, "other"))
    assert run(["gallery", "export", "fleet.vxg", "--sign", private]) == 0
    assert run(["gallery", "export", "people.vxg", "--sign", private]) == 2  # the gallery itself
    fleet = ["--gallery", "fleet.vxg", "--trust"]
    for words in (
        ["identify", "ada/3.wav"],
        ["verify", "ada", "ada/3.wav"],
        ["gallery", "list"],
        ["gallery", "check"],
    ):
        assert run([*words, *fleet, public]) == 0
        capsys.readouterr()
        assert run([*words, *fleet, other]) == 4
        assert "the signature of fleet.vxg is not by other.pub" in capsys.readouterr().err
        assert run([*words, "--gallery", "people.vxg", "--trust", public]) == 4
        assert "people.vxg is not signed" in capsys.readouterr().err
    signed = (people / "fleet.vxg").read_bytes()
    (people / "fleet.vxg").write_bytes(signed[:-1] + bytes([signed[-1] ^ 1]))
    assert run(["identify", "ada/3.wav", *fleet, public]) == 4
    assert "fleet.vxg is damaged" in capsys.readouterr().err
    assert run(["gallery", "import", "people.vxg", "--gallery", "x.vxg", "--trust", public]) == 4
    assert run(["verify", "ada/0.wav", "ada/3.wav", "--trust", public]) == 2
    assert "--trust is of a gallery" in capsys.readouterr().err


def test_a_full_disk(people, monkeypatch, capsys):
    before = (people / "people.vxg").read_bytes()

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    assert run(["enroll", "dan", "dan/0.wav"]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert (people / "people.vxg").read_bytes() == before
    assert not list(people.glob(".people.vxg*"))


_TONES = """
from tests.gallery.conftest import speech_by_energy
import voxedge.inference.clips
voxedge.inference.clips.find_speech = speech_by_energy
"""


def test_the_python_of_the_document(people, model):
    shutil.copy(model, "model.onnx")
    shutil.copy("ada/3.wav", "clip.wav")
    code = code_blocks(ROOT / "docs" / "enroll.md", "python")[0]
    done = subprocess.run(
        [sys.executable, "-c", _TONES + code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    enrolled, answer, verified = done.stdout.splitlines()
    assert enrolled.split() == ["41", "()"]  # per cent
    assert answer.startswith("ada None 0.99")
    assert verified.startswith("True 0.99")
