"""``voxedge timeline`` and ``voxedge listen``."""

from __future__ import annotations

import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from docs.make import ROOT
from tests.conftest import RATE, records
from tests.gallery.conftest import write_other_model, write_spectrum_model
from tests.inference.test_open_set import resealed
from tests.timeline.conftest import LoudnessDetector, talk, write_gallery
from tests.timeline.test_listening import PlayedFile
from voxedge.cli.app import run
from voxedge.cli.timeline import _row, clock, strip
from voxedge.inference.identifier import Identifier
from voxedge.inference.open_set import OpenSet, probability
from voxedge.timeline.record import Segment

TURNS = (("ada", 5.0), ("ben", 4.5), ("ada", 4.5), ("cleo", 5.0))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_spectrum_model(tmp_path_factory.mktemp("model") / "model.onnx")


@pytest.fixture
def folder(model, tmp_path, monkeypatch):
    """The current folder: a meeting, silence, a gallery of Ada and Ben; tones pass for speech."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOXEDGE_MODEL", str(model))
    monkeypatch.setattr("voxedge.timeline.windows.SpeechDetector", LoudnessDetector)
    monkeypatch.setattr("voxedge.timeline.listening.SpeechDetector", LoudnessDetector)
    soundfile.write(tmp_path / "meeting.wav", talk(*TURNS), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(2 * RATE), RATE)
    write_gallery(tmp_path / "people.vxg", Identifier(model, threads=1), "ada", "ben")
    return tmp_path


def test_the_table_and_the_strips(folder, capsys):
    assert run(["timeline", "meeting.wav", "--gallery", "people.vxg", "--threshold", "0.7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["from", "to", "speaker", "speech", "cosine"]
    assert [line.split()[2] for line in lines[1:5]] == ["ada", "ben", "ada", "unknown-1"]
    assert lines[1].split()[0] == "0:00.8"
    strips = lines[-3:]
    assert [line.split()[0] for line in strips] == ["ada", "ben", "unknown-1"]
    assert strips[0].split()[-1] in ("0:09.6", "0:09.7", "0:09.5")


def test_json_and_files(folder, capsys):
    words = ["timeline", "meeting.wav", "--json", "--rttm", "meeting.rttm", "--png", "meeting.png"]
    pytest.importorskip("matplotlib")
    assert run(words) == 0
    (record,) = records(capsys.readouterr().out)
    assert [each["speaker"] for each in record["speakers"]] == [f"unknown-{n}" for n in (1, 2, 3)]
    assert all(a["end"] <= b["start"] for a, b in pairwise(record["segments"]))
    lines = (folder / "meeting.rttm").read_text().splitlines()
    assert len(lines) == len(record["segments"]) == 4
    assert lines[0].startswith("SPEAKER meeting 1 0.7")
    assert (folder / "meeting.png").read_bytes().startswith(b"\x89PNG")


def test_the_number_of_speakers(folder, capsys):
    assert run(["timeline", "meeting.wav", "--json", "--num-speakers", "2"]) == 0
    assert len(records(capsys.readouterr().out)[0]["speakers"]) == 2
    assert run(["timeline", "meeting.wav", "--json", "--max-speakers", "1"]) == 0
    assert len(records(capsys.readouterr().out)[0]["speakers"]) == 1
    assert run(["timeline", "meeting.wav", "--num-speakers", "99"]) == 2
    assert "99 speakers cannot be told apart" in capsys.readouterr().err
    assert run(["timeline", "meeting.wav", "--num-speakers", "2", "--min-speakers", "2"]) == 2
    assert run(["timeline", "meeting.wav", "--min-speakers", "3", "--max-speakers", "2"]) == 2
    assert run(["timeline", "meeting.wav", "--alike", "2"]) == 2


def test_what_cannot_be_answered(folder, capsys, model):
    assert run(["timeline", "silent.wav"]) == 3
    assert "no speech in 2.0 s" in capsys.readouterr().err
    assert run(["timeline", "missing.wav"]) == 3
    assert run(["timeline", "meeting.wav", "--gallery", "none.vxg"]) == 4
    assert run(["timeline", "meeting.wav", "--threshold", "0.5"]) == 2
    assert run(["timeline", "meeting.wav", "--rttm", "no/meeting.rttm"]) == 2
    assert run(["timeline", "meeting.wav", "--gallery", "people.vxg", "--no-names"]) == 2
    other = str(write_other_model(model, folder / "other.onnx"))
    assert run(["timeline", "meeting.wav", "--gallery", "people.vxg", "--model", other]) == 4
    assert "their embeddings do not compare" in capsys.readouterr().err
    clip = (folder / "meeting.wav").read_bytes()
    (folder / "cut.wav").write_bytes(clip[: len(clip) // 2])
    assert run(["timeline", "cut.wav"]) == 0
    assert "cut off" in capsys.readouterr().err
    assert run(["timeline", "cut.wav", "--strict"]) == 3


@pytest.mark.parametrize(("encoding", "expected"), [("utf-8", "█ ▂ "), ("ascii", "# : ")])
def test_a_strip_shows_how_much_of_each_part_is_spoken(encoding, expected, monkeypatch):
    spoken = [Segment(0.0, 2.0, "ada", 1.0), Segment(5.0, 5.5, "ada", 1.0)]
    monkeypatch.setattr("sys.stdout", SimpleNamespace(encoding=encoding))
    assert strip(spoken, 8.0, 4) == expected


def test_unknown_turns_beside_named_ones_have_no_probability():
    ada = [Segment(0.0, 3.0, "ada", 0.5, 0.9), Segment(3.5, 4.5, "ada", 0.5, 0.5)]
    assert _row(ada, named=True) == ("0:00.0", "0:04.5", "ada", "4.0 s", "0.80")
    unknown = [Segment(4.5, 6.0, "unknown-1", 0.75)]
    assert _row(unknown, named=True)[-1] == ""
    assert _row(unknown, named=False)[-1] == "0.75"


def test_times_are_rounded_as_a_whole():
    assert [clock(s) for s in (0, 59.96, 61.25, 3723.4)] == [
        "0:00.0",
        "1:00.0",
        "1:01.2",
        "1:02:03.4",
    ]


def test_listening(folder, capsys, monkeypatch):
    played = PlayedFile(talk(("ada", 4.0)), paced=False)
    monkeypatch.setattr("voxedge.cli.listen.Microphone", lambda which, rate: played)
    monkeypatch.setattr("voxedge.timeline.inbox._TOLERANCE", 1e9)  # it is faster than real time
    words = ["listen", "--gallery", "people.vxg", "--threshold", "0.7"]
    assert run([*words, "--json"]) == 0
    updates = records(capsys.readouterr().out)
    assert updates[-1]["speaker"] == "ada"
    assert updates[-1]["matches"][0]["speaker"] == "ada"
    played = PlayedFile(talk(("ada", 4.0)), paced=False)
    assert run(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "dBFS" in lines[-1]
    assert "ada" in lines[-1]
    assert run(["listen"]) == 4  # the file names nobody


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """The file that ships, to which everybody is a stranger."""
    shipped = ROOT / "bench" / "models" / "speechocean762-200.int8.onnx"
    never = OpenSet((0.0, 0.0, 0.0), -5.0, {0.05: 0.0, 0.01: None}, 60, "speakers")
    return str(resealed(shipped, tmp_path_factory.mktemp("guarded") / "model.onnx", never))


def test_strangers_to_a_model_file_are_unknown(folder, capsys, guarded):
    words = ["timeline", "meeting.wav", "--model", guarded, "--num-speakers", "1"]
    assert run([*words, "--json"]) == 0
    (record,) = records(capsys.readouterr().out)
    assert [(each["speaker"], each["known"]) for each in record["speakers"]] == [
        ("unknown-1", False)
    ]
    assert run([*words, "--always-answer"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[-1] == "probability"
    assert "unknown-1" not in lines[1]
    assert run([*words, "--accept", "1%"]) == 2
    assert "has no threshold for 1 % of strangers" in capsys.readouterr().err


def test_a_microphone_hears_strangers(folder, capsys, monkeypatch, guarded):
    monkeypatch.setattr("voxedge.timeline.inbox._TOLERANCE", 1e9)
    for flags, named in ([], False), (["--always-answer"], True):
        played = PlayedFile(talk(("ada", 3.0)), paced=False)
        monkeypatch.setattr(
            "voxedge.cli.listen.Microphone", lambda which, rate, played=played: played
        )
        assert run(["listen", "--model", guarded, "--json", *flags]) == 0
        last = records(capsys.readouterr().out)[-1]
        assert (last["speaker"] is not None) == named
        assert (last.get("reason") == "unknown", "least_known" in last) == (not named, not named)
        assert last["known"] == pytest.approx(probability(-5.0), abs=1e-6)
    assert run(["listen", "--model", guarded, "--accept", "1%"]) == 2
    assert "has no threshold" in capsys.readouterr().err


@pytest.mark.parametrize("flag", [["--accept", "1%"], ["--always-answer"], ["--threshold", "0.5"]])
def test_flags_of_names_are_refused_where_there_are_none(folder, capsys, flag, guarded):
    for without in ([], ["--model", guarded, "--no-names"]):
        assert run(["timeline", "meeting.wav", *without, *flag]) == 2
        assert "are of names, and there are none" in capsys.readouterr().err
    people = ["--gallery", "people.vxg", "--always-answer"]
    if flag != ["--always-answer"]:
        assert run(["timeline", "meeting.wav", *people, *flag]) == 2
        assert "goes without" in capsys.readouterr().err


def test_of_a_gallery_the_nearest_person_is_always_named(folder, capsys):
    people = ["timeline", "meeting.wav", "--gallery", "people.vxg", "--json", "--always-answer"]
    assert run(people) == 0
    (record,) = records(capsys.readouterr().out)
    assert {each["speaker"] for each in record["speakers"]} <= {"ada", "ben"}


def test_listing_microphones_needs_the_extra(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert run(["listen", "--list"]) == 2
    assert "mic]" in capsys.readouterr().err


def test_what_is_missing_is_said_before_the_recording_is_read(folder, capsys, monkeypatch):
    monkeypatch.setattr("voxedge.timeline.timeline.stream", None)  # would fail if it were called
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert run(["timeline", "meeting.wav", "--png", "meeting.png"]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "scipy.cluster.hierarchy", None)
    assert run(["timeline", "meeting.wav"]) == 2
    assert "timeline]" in capsys.readouterr().err
