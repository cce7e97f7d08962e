"""``voxedge identify``."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, SPEAKERS, records, voice, voxedge, write_corpus


def test_identify_shows_bars_for_people(workshop):
    done = voxedge("identify", "ada.wav", cwd=workshop)
    assert done.returncode == 0, done.stderr
    title, *bars = done.stdout.splitlines()
    assert title == "ada.wav  1.5 s, 1 window"
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
        keys = ["path", "seconds", "speaker", "predictions", "windows", "model", "provider"]
        assert list(record) == keys
        assert len(record["predictions"]) == 2
        assert record["speaker"] == record["predictions"][0]["speaker"]


def test_a_folder_gives_its_clips_in_the_order_of_their_paths(tmp_path):
    from voxedge.cli.identify import _sources

    for name in ("b/1.wav", "b/a.WAV", "b-c.opus", "b.flac", "b/c/2.wav", "a/.wav", "a.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    for name in ("notes.txt", "b/clip.wav.bak"):
        (tmp_path / name).touch()
    (tmp_path / "empty.wav").mkdir()
    (tmp_path / "b" / "round").symlink_to(tmp_path)
    (tmp_path / "link.wav").symlink_to(tmp_path / "a.mp3")
    expected = [
        *("a.mp3", "b-c.opus", "b.flac", "b/1.wav", "b/a.WAV", "b/c/2.wav", "link.wav"),
    ]
    assert list(_sources([str(tmp_path)], 1)) == [str(tmp_path / name) for name in expected]
    assert list(_sources([f"{tmp_path}/"], 1)) == [str(tmp_path / name) for name in expected]
    assert expected == sorted(expected)


def test_folders_are_listed_as_their_clips_are_used(tmp_path, monkeypatch):
    from voxedge.cli.identify import _sources

    for folder in "abc":
        write_corpus(tmp_path / folder, clips=1, seconds=0.1)
    listed = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or real(path))
    first = next(_sources([str(tmp_path)], 1))
    assert first == str(tmp_path / "a" / "ada" / "00.wav")
    assert listed == [str(path) for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "ada")]


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
