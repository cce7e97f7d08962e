"""``voxedge identify``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, SPEAKERS, records, voice, voxedge
from tests.folders import forbid
from voxedge.cli import app


def test_identify_shows_bars_for_people(workshop):
    done = voxedge("identify", "ada.wav", cwd=workshop)
    assert done.returncode == 0, done.stderr
    title, *bars = done.stdout.splitlines()
    assert title == "ada.wav  1.5 s, 1.5 s of speech, 1 window"
    assert len(bars) == 4
    assert all("%" in bar for bar in bars)
    assert "\033" not in done.stdout


def test_identify_gives_programs_one_object_a_line(workshop):
    done = voxedge("identify", "--json", "data/ada", "*.wav", "--top-k", "2", cwd=workshop)
    assert done.returncode == 0, done.stderr
    found = records(done.stdout)
    assert [r["path"] for r in found] == [
        *(f"data/ada/{n:02d}.wav" for n in range(8)),
        *(f"{name}.wav" for name in SPEAKERS),
    ]
    for record in found:
        keys = ["path", "seconds", "speech_seconds", "speaker", "predictions", "known"]
        keys += ["windows", "model", "provider"]
        assert list(record) == keys
        assert len(record["predictions"]) == 2
        assert record["speaker"] == record["predictions"][0]["speaker"]


def without_pyav(folder: Path) -> dict[str, str]:
    """An environment in which PyAV is not installed."""
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['av'] = None\n")
    return {"PYTHONPATH": str(folder)}


@pytest.fixture
def phone(tmp_path) -> Path:
    """A folder as a phone leaves it, none of whose clips is read without PyAV."""
    folder = tmp_path / "phone"
    (folder / "old").mkdir(parents=True)
    for name in ("a.m4a", "b.M4A", "c.webm", "old/d.amr"):
        (folder / name).write_bytes(b"#!AMR\n")
    return folder


def test_a_folder_of_clips_that_cannot_be_read_here_says_why(workshop, phone, tmp_path):
    model = ["--model", workshop / "model.onnx"]
    extra = without_pyav(tmp_path)
    done = voxedge("identify", "phone", *model, "--json", cwd=tmp_path, extra=extra)
    assert done.returncode == 3
    (record,) = records(done.stdout)
    assert record["path"] == "phone"
    assert record["error"]["code"] == "unreadable"
    message = record["error"]["message"]
    assert "no audio that can be read here: 4 files (2 .m4a, 1 .webm, 1 .amr)" in message
    assert "PyAV, which is not installed (pip install" in message
    assert "[av]" in message


def test_files_that_are_passed_over_are_counted_with_the_reason(workshop, phone, tmp_path):
    model = ["--model", workshop / "model.onnx"]
    shutil.copy(workshop / "ada.wav", phone / "e.wav")
    for name in ("notes.txt", "._e.wav", "Thumbs.db", "desktop.ini", ".hidden"):
        (phone / name).write_bytes(b"x")
    (phone / "__MACOSX").mkdir()
    (phone / "__MACOSX" / "e.wav").write_bytes(b"x")
    extra = without_pyav(tmp_path)
    done = voxedge("identify", "phone", *model, "--json", cwd=tmp_path, extra=extra)
    assert done.returncode == 0, done.stderr
    assert [record["path"] for record in records(done.stdout)] == ["phone/e.wav"]
    assert "4 files (2 .m4a, 1 .webm, 1 .amr) passed over: decoded by PyAV" in done.stderr
    assert "1 file (1 .txt) passed over: not audio by the ending" in done.stderr


def test_patterns_pass_over_what_the_system_leaves_in_folders(workshop, tmp_path):
    for name in ("a.wav", "._a.wav", "Thumbs.db", "desktop.ini"):
        shutil.copy(workshop / "ada.wav", tmp_path / name)
    done = voxedge("identify", "*", "--json", "--model", workshop / "model.onnx", cwd=tmp_path)
    assert [record["path"] for record in records(done.stdout)] == ["a.wav"]


def test_a_pattern_answers_each_clip_once(workshop, tmp_path):
    for name in ("data/a/1.wav", "data/a/deep/2.wav", "data x/3.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(workshop / "ada.wav", tmp_path / name)
    for pattern in ("data*", "data*/**", "**"):
        done = voxedge(
            "identify", pattern, "--json", "--model", workshop / "model.onnx", cwd=tmp_path
        )
        paths = [record["path"] for record in records(done.stdout)]
        assert paths == ["data x/3.wav", "data/a/1.wav", "data/a/deep/2.wav"], pattern


def test_a_folder_without_clips_is_an_error(workshop, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").touch()
    model = ["--model", workshop / "model.onnx", "--json"]
    done = voxedge("identify", "empty", "texts", *model, cwd=tmp_path)
    assert done.returncode == 3
    for record, name in zip(records(done.stdout), ("empty", "texts"), strict=True):
        error = {"code": "not_a_file", "message": "a folder without audio files"}
        assert record == {"path": name, "error": error}
    assert "1 file (1 .txt)" in done.stderr


def test_a_folder_that_may_not_be_read_has_its_record(workshop, tmp_path, monkeypatch, capsys):
    for name in ("anna", "dora"):
        (tmp_path / name).mkdir()
        shutil.copy(workshop / "ada.wav", tmp_path / name / "1.wav")
    forbid(tmp_path / "dora", monkeypatch)
    status = app.run(["identify", str(tmp_path), "--json", "--model", str(workshop / "model.onnx")])
    good, bad = records(capsys.readouterr().out)
    assert status == 5
    assert good["path"] == str(tmp_path / "anna" / "1.wav")
    assert bad["path"] == str(tmp_path / "dora")
    assert bad["error"]["code"] == "permission_denied"


def test_identify_reads_a_wav_from_stdin(workshop):
    command = [sys.executable, "-m", "voxedge", "identify", "-", "--json"]
    data = (workshop / "ada.wav").read_bytes()
    done = subprocess.run(command, cwd=workshop, input=data, capture_output=True, check=True)
    piped = json.loads(done.stdout)
    (from_file,) = records(voxedge("identify", "ada.wav", "--json", cwd=workshop).stdout)
    assert piped["path"] == "-"
    assert piped["predictions"] == from_file["predictions"]


def test_any_rate_and_channel_count(workshop, tmp_path):
    there = np.stack([np.repeat(voice(110, 2, 3), 3)] * 2, axis=1)
    soundfile.write(tmp_path / "stereo48k.wav", there, 48_000)
    model = workshop / "model.onnx"
    done = voxedge("identify", "stereo48k.wav", "--model", model, "--json", cwd=tmp_path)
    (record,) = records(done.stdout)
    assert record["seconds"] == pytest.approx(2)
    assert record["speaker"] in SPEAKERS


def test_recordings_of_phones_and_browsers(workshop, tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed: pip install -e '.[av]'")
    from tests.audio.encode import encoded_by_av

    sound = voice(110, 2, 999)
    soundfile.write(tmp_path / "0.wav", sound, RATE)
    (tmp_path / "1.m4a").write_bytes(encoded_by_av(sound, "ipod", "aac", codec_rate=44_100))
    (tmp_path / "2.webm").write_bytes(encoded_by_av(sound, "webm", "libopus", codec_rate=48_000))
    model = ["--model", workshop / "model.onnx", "--json"]
    done = voxedge("identify", tmp_path, *model, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = records(done.stdout)
    assert [record["path"][-5:] for record in found] == ["0.wav", "1.m4a", ".webm"]
    assert len({record["speaker"] for record in found}) == 1


def test_windows_first(workshop, tmp_path):
    soundfile.write(tmp_path / "long.wav", voice(110, 8, 3), RATE)
    model = ["--model", workshop / "model.onnx", "--json"]
    every = records(voxedge("identify", "long.wav", *model, cwd=tmp_path).stdout)
    first = records(
        voxedge("identify", "long.wav", *model, "--windows", "first", cwd=tmp_path).stdout
    )
    assert every[0]["windows"] == 5
    assert first[0]["windows"] == 1


def test_one_bad_clip_among_others(workshop, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"nothing")
    command = ["identify", "--json", "ada.wav", tmp_path / "bad.wav", "ben.wav"]
    done = voxedge(*command, cwd=workshop)
    assert done.returncode == 5
    good, bad, other = records(done.stdout)
    assert bad["error"]["code"] == "unreadable"
    alone = records(voxedge("identify", "--json", "ada.wav", "ben.wav", cwd=workshop).stdout)
    assert [good, other] == alone
    assert "1 of 3 clips have no answer" in done.stderr


def test_odd_streams_are_no_internal_error(workshop):
    command = f"{sys.executable} -m voxedge identify ada.wav"
    cases = {
        f"PYTHONIOENCODING=ascii {command}": 0,
        f"{command} >&-": 0,
        f"{command} - <&-": 2,
        f"{command} > /dev/full": 1,
    }
    for line, code in cases.items():
        done = subprocess.run(line, shell=True, cwd=workshop, capture_output=True, text=True)
        assert done.returncode == code, (line, done.stderr)
        assert "internal error" not in done.stderr
        assert "Traceback" not in done.stderr


def test_limits_can_be_moved(workshop):
    for flag, value in (("--min-seconds", 2), ("--max-rate", 8000), ("--max-bytes", 100)):
        assert voxedge("identify", "ada.wav", flag, value, cwd=workshop).returncode == 3, flag
