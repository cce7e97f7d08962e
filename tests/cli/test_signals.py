"""SIGINT and SIGTERM: whole lines, no clip blamed, no traceback, exit code 130 or 143."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from docs.check import ROOT
from tests.conftest import records

#: Functions for a program that signals itself at a moment which the test chooses.
STOPPING = """
import os, signal, sys
from itertools import count

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
signum = signal.SIGTERM

def stop():
    os.kill(os.getpid(), signum)

class Importing:  # of a module
    def __init__(self, name):
        self.name = name
        sys.meta_path.insert(0, self)

    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            sys.meta_path.remove(self)
            stop()

def at_call(owner, name, number=1, do=stop):  # of a function or method
    real, calls = getattr(owner, name), count(1)

    def wrapped(*arguments, **options):
        if next(calls) == number:
            do()
        return real(*arguments, **options)

    setattr(owner, name, wrapped)

class Finaliser:  # exceptions are dropped in __del__
    def __del__(self):
        stop()

def swallow():
    try:
        stop()
    except:
        pass

def make_another():
    try:
        stop()
    except BaseException as error:
        raise ImportError("initialization failed") from error
"""
MAIN = """
from voxedge.__main__ import main
main()
"""
SESSION = "import voxedge.inference.session as session\n"
IDENTIFIER = """
from voxedge.inference.answers import Answers
from voxedge.inference.clips import ClipReader
from voxedge.inference.identifier import Identifier
"""


def program(code: str, *arguments: str, **options) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", STOPPING + code, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, **options)


@pytest.mark.parametrize(
    ("moment", "threads", "lines"),
    [
        ("Importing('typer')", 1, 0),
        ("Importing('numpy')", 1, 0),
        ("Importing('onnxruntime.capi._pybind_state')", 1, 0),
        (f"{SESSION}at_call(session, '_import_onnxruntime', do=make_another)", 1, 0),
        (f"{SESSION}at_call(session, '_new_session')", 1, 0),
        (f"{IDENTIFIER}at_call(ClipReader, 'hear', 9)", 1, None),
        (f"{IDENTIFIER}at_call(ClipReader, 'hear', 9)", 2, None),
        (f"{IDENTIFIER}at_call(Identifier, '_outputs')", 1, 0),
        (f"{IDENTIFIER}at_call(Identifier, '_outputs')", 2, 0),
        (f"{IDENTIFIER}at_call(Answers, 'embedded', 4, do=Finaliser)", 2, 3),
        (f"{IDENTIFIER}at_call(Answers, 'embedded', 4, do=swallow)", 1, 3),
        (f"{IDENTIFIER}signum = 2; at_call(Answers, 'embedded', 4)", 2, 3),
        ("import atexit; atexit.register(stop)", 1, 20),
    ],
)
def test_identify_ends_in_order(moment, threads, lines, workshop):
    clips = ["ada.wav", "ben.wav"] * 10
    arguments = ["identify", *clips, "--json", "--threads", str(threads), "--batch-size", "2"]
    process = program(moment + MAIN, *arguments, cwd=workshop)
    out, err = process.communicate(timeout=60)
    assert process.returncode == (130 if "signum = 2" in moment else 143), err
    assert err.splitlines() in ([], ["terminated"], ["stopped"])
    assert out == "" or out.endswith("\n")
    answers = records(out)
    assert not any("error" in answer for answer in answers)
    assert [answer["path"] for answer in answers] == clips[: len(answers)]
    assert lines is None or len(answers) == lines


LONG = 1 << 20  # a pipe holds 64 KiB
LINES = f"""
import voxedge.cli.signals as signals
from voxedge.cli import console
signals.GRACE = float(sys.argv[1])
signals.heed_signals()
try:
    with signals.interruptible():
        console.say("ready")
        console.answer("a" * {LONG})
        console.answer("b")
except signals.Interrupted as stop:
    sys.exit(stop.status)
"""


def test_a_line_that_was_begun_is_written():
    process = program(LINES, "60", cwd=ROOT)
    assert process.stdout.read(1) == "a"  # the rest waits for a reader
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)  # as timeout(1) does
    assert process.stdout.read() == "a" * (LONG - 1) + "\n"
    assert process.wait(timeout=60) == 143
    process.communicate()


def test_a_reader_that_does_not_read_does_not_hold_the_program():
    process = program(LINES, "0.1", cwd=ROOT)
    process.stderr.readline()
    assert process.stdout.read(1) == "a"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    process.communicate()


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_waiting_for_stdin_is_interrupted(signum, status, workshop):
    code = "import voxedge.cli.identify as i; at_call(i, 'Search', do=lambda: print('waits'))"
    process = program(code + MAIN, "identify", "-", cwd=workshop, stdin=subprocess.PIPE)
    began = time.monotonic()
    assert process.stdout.readline() == "waits\n"
    process.send_signal(signum)
    assert process.wait(timeout=60) == status
    out, err = process.communicate()
    assert out == ""
    assert "Traceback" not in err
    assert time.monotonic() - began < 60


def test_a_signal_that_the_parent_ignores_stays_ignored(workshop):
    code = f"signal.signal(2, signal.SIG_IGN); signum = 2\n{IDENTIFIER}at_call(Answers, 'embedded')"
    process = program(code + MAIN, "identify", "ada.wav", "--json", cwd=workshop)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert len(records(out)) == 1


def test_a_file_that_is_being_written_leaves_nothing_behind(tmp_path):
    code = """
from pathlib import Path
import voxedge.cli.signals as signals
from voxedge.files import atomic_write
signals.heed_signals()
try:
    with signals.interruptible(), atomic_write(Path("model.onnx")) as file:
        file.write(b"half")
        stop()
except signals.Interrupted as stopped:
    sys.exit(stopped.status)
"""
    (tmp_path / "model.onnx").write_bytes(b"old")
    process = program(code, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
