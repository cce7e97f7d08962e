"""Model files that are damaged, cut off, or no model files at all."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.faults.check import model_refused, voxedge
from tests.faults.conftest import CLEAN
from tests.faults.make import LABELS, small_graph, small_model, wav
from voxedge import Identifier
from voxedge.errors import ModelError, ModelNotFound
from voxedge.model_file.reader import read_model


def test_the_model_that_the_other_tests_break_works(path):
    path.write_bytes(small_model())
    answer = Identifier(path, any_sound=True).identify(CLEAN)
    assert answer.speaker in LABELS


GOOD = small_model()
NOT_A_MODEL = {
    "empty": b"",
    "one byte": b"\x08",
    "HTML": b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n" * 20,
    "text": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 45952355\n",
    "zeros": bytes(100_000),
    "random": np.random.default_rng(3).bytes(100_000),
    "ZIP": b"PK\x03\x04" + np.random.default_rng(4).bytes(10_000),
    "WAV": wav(CLEAN),
    "twice the same model": GOOD + GOOD,
    "one byte more": GOOD + b"\0",
    "a field more": GOOD + b"\x32\x01x",
}


@pytest.mark.parametrize("data", NOT_A_MODEL.values(), ids=NOT_A_MODEL)
def test_what_is_not_a_model_is_refused(data, path):
    path.write_bytes(data)
    model_refused(path)


def test_a_model_cut_anywhere_is_refused(path, traced_file):
    for length in range(0, len(GOOD), 23):
        path.write_bytes(GOOD[:length])
        model_refused(path)
    data = traced_file.read_bytes()
    for part in (0.1, 0.5, 0.999999):
        path.write_bytes(data[: round(part * len(data))])
        model_refused(path)


def test_64_flipped_bits_in_a_real_model_are_each_noticed(path, traced_file):
    data = traced_file.read_bytes()
    path.write_bytes(data)
    draw = random.Random(64)
    with path.open("r+b") as file:
        for _ in range(64):
            at, bit = draw.randrange(len(data)), draw.randrange(8)
            file.seek(at)
            file.write(bytes([data[at] ^ 1 << bit]))
            file.flush()
            with pytest.raises(ModelError):
                read_model(path)
            file.seek(at)
            file.write(data[at : at + 1])
            file.flush()
    assert read_model(path).metadata.labels == LABELS


def test_flipped_bits_all_over_a_small_model_are_noticed(path):
    for position in range(0, 8 * len(GOOD), 29):
        flipped = bytearray(GOOD)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        with pytest.raises(ModelError):
            read_model(path)


def test_onnx_files_of_other_programs_are_refused_with_a_hint(path):
    onnx.save(small_graph(), path)
    assert "voxedge export" in model_refused(path, "not a voxedge model")


def test_what_is_not_a_regular_file_is_no_model(tmp_path, path):
    model_refused(tmp_path / "missing.onnx", "there is no model", ModelNotFound)
    model_refused(tmp_path, "not a regular file")
    model_refused(Path("/dev/zero"), "not a regular file")
    os.mkfifo(path)
    model_refused(path, "not a regular file")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ModelError):
        Identifier(tmp_path / "loop")
    with pytest.raises(ModelError):
        Identifier("a\0b")
    with pytest.raises(ModelError):
        Identifier("x" * 300)


def test_a_link_to_a_model_is_the_model(path, small_file):
    path.symlink_to(small_file)
    assert Identifier(path).labels == LABELS


@pytest.mark.parametrize("command", [["identify", "clip.wav"], ["inspect"]], ids=" ".join)
@pytest.mark.parametrize("kind", ["truncated", "missing"])
def test_the_command_line_refuses_with_exit_code_4_and_one_line(command, kind, tmp_path, path):
    (tmp_path / "clip.wav").write_bytes(wav(CLEAN))
    if kind == "truncated":
        path.write_bytes(GOOD[:-100])
    name, *rest = command
    done = voxedge(*rest, cwd=tmp_path, model=path, command=name)
    assert done.returncode == 4
    assert done.stdout == b""
    assert done.stderr.startswith(b"error: ")
    assert b"Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2  # the error, and its hint
