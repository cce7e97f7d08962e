"""Paths: not regular files, names of any bytes, and bad files among good ones."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.faults.check import decoded, records, refused, same, voxedge
from tests.faults.conftest import CLEAN
from tests.faults.make import encoded, pcm16, sound, wav
from voxedge.audio.load import decode
from voxedge.errors import AudioNotFound, NotAFile, PermissionDenied, UnreadableAudio
from voxedge.inference.prediction import Failure, Prediction

WAV = wav(CLEAN)
ODD_NAMES = (
    b"plain.wav",
    b"not \xff\xfe utf-8 \xc3.wav",
    b"two\nlines.wav",
    b"-starts-with-a-dash",
    b"--json",
    b"colour \x1b[31m\x07.wav",
    "right \u202eto left, \u2603, \U0001f600.wav".encode(),
    b"[glob]*?.wav",
    b'"quotes" \\ and \t tabs.wav',
    b"x" * 251 + b".wav",
)


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "clip.wav"
    path.write_bytes(WAV)
    return path


def test_what_is_not_a_regular_file_is_refused_unread(tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    os.mkfifo(tmp_path / "fifo")
    refused(tmp_path, NotAFile, "directory")
    refused("/dev/zero", NotAFile, "device")
    refused("/dev/null", NotAFile, "device")
    refused(tmp_path / "socket", NotAFile, "socket")
    listener.close()
    hint = rf"FIFO.*voxedge identify - < {tmp_path}/fifo"
    fifo = threading.Thread(target=refused, args=(tmp_path / "fifo", NotAFile, hint), daemon=True)
    fifo.start()
    fifo.join(5)
    assert not fifo.is_alive(), "waits for a writer"


def test_what_is_not_there_is_not_found(tmp_path, clip):
    (tmp_path / "dangling").symlink_to("nowhere")
    for missing in (
        tmp_path / "missing.wav",
        tmp_path / "dangling",
        clip / "below-a-file.wav",
        "",
        "a\0b.wav",
        "lone \ud800 surrogate.wav",
    ):
        refused(missing, AudioNotFound)


def test_what_cannot_be_opened_says_why(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "here").symlink_to("there")
    (tmp_path / "there").symlink_to("here")
    refused(tmp_path / "loop", UnreadableAudio, "symbolic links")
    refused(tmp_path / "here", UnreadableAudio, "symbolic links")
    refused(tmp_path / ("x" * 256), UnreadableAudio, "too long")
    refused("x/" * 5_000, UnreadableAudio, "too long")


def test_what_may_not_be_read_is_permission_denied(clip, monkeypatch):
    if os.geteuid() == 0:  # root may read everything

        def denied(*_):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr(os, "open", denied)
    clip.chmod(0)
    refused(clip, PermissionDenied)


def test_a_link_to_a_clip_is_the_clip(tmp_path, clip):
    (tmp_path / "link.wav").symlink_to("clip.wav")
    same(decoded(tmp_path / "link.wav"), CLEAN)


@pytest.mark.parametrize("data", [WAV, encoded(CLEAN, "FLAC")], ids=["WAV", "FLAC"])
def test_a_file_of_the_caller_stays_open_wherever_it_stood(tmp_path, data):
    path = tmp_path / "clip"
    path.write_bytes(data)
    with path.open("rb") as file:
        for position in (0, 17, len(data)):
            file.seek(position)
            same(decode(file, 16_000), CLEAN)
        assert not file.closed


def test_a_stream_that_cannot_be_rewound_is_refused(clip):
    with subprocess.Popen(["cat", str(clip)], stdout=subprocess.PIPE) as process:
        refused(process.stdout, UnreadableAudio, "rewound")


def test_names_of_any_bytes_come_back_in_valid_json(tmp_path, small_file):
    for name in ODD_NAMES:
        (tmp_path / os.fsdecode(name)).write_bytes(WAV)
    done = voxedge("--json", "--", *ODD_NAMES, cwd=tmp_path, model=small_file)
    answers = records(done)
    assert done.returncode == 0
    assert [os.fsencode(answer["path"]) for answer in answers] == list(ODD_NAMES)
    assert len({json.dumps(a["predictions"]) for a in answers}) == 1


def test_names_of_any_bytes_cannot_control_a_terminal(tmp_path, small_file):
    for name in ODD_NAMES:
        (tmp_path / os.fsdecode(name)).write_bytes(b"not audio")
    (tmp_path / os.fsdecode(ODD_NAMES[5])).write_bytes(WAV)
    done = voxedge("--", *ODD_NAMES, cwd=tmp_path, model=small_file)
    assert done.returncode == 5
    assert done.stderr.count(b"error: ") == len(ODD_NAMES)  # one for each, and a summary
    for text in (done.stdout.decode(), done.stderr.decode()):
        lines = text.splitlines()
        assert all(line.isprintable() for line in lines), lines
        assert "\u202e" not in text
    assert b"Traceback" not in done.stderr


def test_the_folder_that_holds_everything_is_searched(tmp_path, small_file):
    folder = tmp_path / "clips"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "a directory.wav").mkdir()
    (folder / "deep" / "er" / "good.flac").write_bytes(encoded(CLEAN, "FLAC"))
    (folder / "deep" / "notes.txt").write_bytes(b"no clip")
    (folder / "loop.wav").symlink_to("loop.wav")
    (folder / "again").symlink_to(folder)
    os.mkfifo(folder / "fifo.wav")
    (folder / "page.wav").write_bytes(b"<html>")
    done = voxedge("--json", "clips", cwd=tmp_path, model=small_file)
    found = {Path(a["path"]).name: a.get("error", {}).get("code") for a in records(done)}
    assert done.returncode == 5
    assert found == {
        "good.flac": None,
        "loop.wav": "unreadable",
        "fifo.wav": "not_a_file",
        "page.wav": "unreadable",
    }


def test_one_bad_file_among_a_hundred_changes_no_other_answer(identifier):
    """Bit by bit: the windows of the others meet in the same batches."""
    clips = [wav(sound(0.3 + 0.02 * number, seed=number)) for number in range(99)]
    alone = list(identifier.identify_many(clips))
    assert all(isinstance(answer, Prediction) for answer in alone)
    nan = np.array([np.nan], np.float32)
    for place, bad in ((0, b""), (50, WAV[:40]), (99, wav(CLEAN[:100])), (7, nan)):
        mixed = list(identifier.identify_many([*clips[:place], bad, *clips[place:]]))
        assert isinstance(mixed.pop(place), Failure)
        for answer, expected in zip(mixed, alone, strict=True):
            assert answer == expected
            assert np.array_equal(answer.embedding, expected.embedding)


def test_bad_files_among_good_ones_are_reported_in_order(tmp_path, small_file):
    good = []
    for number in range(12):
        good.append(f"{number:02d}.wav")
        (tmp_path / good[-1]).write_bytes(wav(sound(0.4 + 0.1 * number, seed=number)))
    os.mkfifo(tmp_path / "fifo.wav")
    (tmp_path / "cut.wav").write_bytes(WAV[:30])
    bad = ["fifo.wav", "missing.wav", "cut.wav", "nothing-*.wav"]
    names = [*good[:3], bad[0], *good[3:5], bad[1], bad[2], *good[5:], bad[3]]
    clean = voxedge("--json", *good, cwd=tmp_path, model=small_file)
    mixed = voxedge("--json", *names, cwd=tmp_path, model=small_file)
    assert (clean.returncode, mixed.returncode) == (0, 5)
    assert [answer["path"] for answer in records(mixed)] == names
    codes = {a["path"]: a["error"]["code"] for a in records(mixed) if "error" in a}
    assert codes == dict(
        zip(bad, ["not_a_file", "not_found", "unreadable", "not_found"], strict=True)
    )
    lines = [line for line in mixed.stdout.splitlines() if b'"error"' not in line]
    assert lines == clean.stdout.splitlines()


def test_only_bad_files_are_no_usable_audio(tmp_path, small_file):
    os.mkfifo(tmp_path / "fifo.wav")
    names = ["fifo.wav", "missing.wav", "/dev/zero", "/dev/null"]
    done = voxedge("--json", *names, cwd=tmp_path, model=small_file)
    assert done.returncode == 3
    codes = [answer["error"]["code"] for answer in records(done)]
    assert codes == ["not_a_file", "not_found", "not_a_file", "not_a_file"]


def test_stdin_is_a_clip_like_any_other(tmp_path, clip, small_file):
    done = voxedge("--json", "clip.wav", "-", cwd=tmp_path, model=small_file, input=WAV)
    assert done.returncode == 0
    file, stdin = records(done)
    assert (file.pop("path"), stdin.pop("path")) == ("clip.wav", "-")
    assert file == stdin
    done = voxedge("--json", "-", cwd=tmp_path, model=small_file, input=b"")
    assert done.returncode == 3
    assert records(done)[0]["error"]["code"] == "unreadable"


def test_two_clips_on_stdin_are_the_first_and_a_warning(tmp_path, small_file):
    """``cat a.wav b.wav | voxedge identify -``."""
    done = voxedge("--json", "-", cwd=tmp_path, model=small_file, input=WAV + wav(sound(2.0)))
    (record,) = records(done)
    assert done.returncode == 0
    assert record["seconds"] == 1.0
    assert record["warnings"] == ["another WAV file follows: its 64044 bytes are not used"]
    assert b"warning: -: another WAV file follows" in done.stderr


def test_raw_samples_are_read_as_the_flag_says(tmp_path, clip, small_file):
    raw = pcm16(CLEAN)
    (tmp_path / "clip.raw").write_bytes(raw)
    expected = records(voxedge("--json", "clip.wav", cwd=tmp_path, model=small_file))[0]
    flag = ["--raw", "s16le,16000,1"]
    done = voxedge("--json", *flag, "clip.raw", "-", cwd=tmp_path, model=small_file, input=raw)
    assert done.returncode == 0
    for record, path in zip(records(done), ("clip.raw", "-"), strict=True):
        assert record == expected | {"path": path}
    done = voxedge("clip.raw", cwd=tmp_path, model=small_file)
    assert done.returncode == 3
    assert b"--raw s16le,16000,1 says how to read them" in done.stderr
    assert b"ffmpeg -i clip.raw clip.wav" in done.stderr
    done = voxedge("--json", *flag, "clip.wav", "clip.raw", cwd=tmp_path, model=small_file)
    assert [record.get("error", {}).get("code") for record in records(done)] == ["unreadable", None]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--raw", "s16le", "clip.wav"],
        ["--raw", "s16le,16000,1", "."],
        ["--top-k", "0", "clip.wav"],
        ["--max-seconds", "nan", "clip.wav"],
        ["--device", "abacus", "x"],
        [],
    ],
    ids=" ".join,
)
def test_a_call_that_makes_no_sense_is_a_usage_error(arguments, tmp_path, clip, small_file):
    done = voxedge(*arguments, cwd=tmp_path, model=small_file)
    assert done.returncode == 2
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr
