"""The README's snippets run as they stand there, and it names what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest

from docs.check import ROOT, code_blocks, run, write_programs
from docs.commands import CHECKS
from tests.conftest import SPEAKERS
from tests.inference.test_open_set import resealed
from voxedge import Identifier
from voxedge.inference.open_set import OpenSet

README = ROOT / "README.md"
SNIPPETS = code_blocks(README, "python")


@pytest.fixture
def folder(workshop, tmp_path):
    """What a reader has after the first commands: a model, a clip, recordings."""
    shutil.copy(workshop / "model.onnx", tmp_path)
    shutil.copy(workshop / "ada.wav", tmp_path / "clip.wav")
    shutil.copytree(workshop / "data", tmp_path / "recordings")
    (tmp_path / "recordings" / "broken.wav").write_bytes(b"nothing")
    write_programs(tmp_path / "bin")
    return tmp_path


def python(code: str, folder) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_snippets_name_the_same_speaker(folder):
    identifier, bare = (python(code, folder).split()[0] for code in SNIPPETS)
    assert identifier == bare
    assert identifier in SPEAKERS


@pytest.mark.parametrize(
    ("bias", "least", "named"), [(-9, 0, False), (9, 0, True), (-9, None, True)]
)
def test_the_bare_snippet_leaves_strangers_unnamed(folder, bias, least, named):
    """By the thresholds in the file, as ``identify`` does."""
    (_, bare) = SNIPPETS
    assert len([line for line in bare.splitlines() if line.strip()]) <= 20
    open_set = OpenSet((0.01, 0.01, 0.01), bias, {0.05: least}, 40, "impostors")
    model = resealed(folder / "model.onnx", folder / "model.onnx", open_set)
    said = Identifier(model).identify(folder / "clip.wav")
    assert (said.speaker is not None) == named
    assert python(bare, folder).split()[0] == (said.speaker or "unknown")


def test_the_python_snippets_of_the_page_on_deploying(folder):
    identifier, bare = code_blocks(ROOT / "docs" / "deploy.md", "python")
    first, known, unknown = python(identifier, folder).splitlines()
    assert first.split()[0] in SPEAKERS
    assert known.split() == ["clip.wav", first.split()[0]]
    assert unknown.startswith("missing.wav ")
    assert bare == SNIPPETS[1]


def test_the_shell_snippets(folder):
    (block,) = (block for block in code_blocks(README, "sh") if block.startswith("cat clip.wav"))
    stdin, many = (re.split(r"\s+#\s", line)[0] for line in block.splitlines())
    assert not run(f"{stdin} > answer.json", CHECKS[stdin], folder)
    assert json.loads((folder / "answer.json").read_text())["speaker"] in SPEAKERS
    assert not run(many, CHECKS[many], folder)
    records = [json.loads(line) for line in (folder / "answers.ndjson").read_text().splitlines()]
    assert len(records) == 33
    assert sum("error" in record for record in records) == 1


def test_the_two_and_the_four_commands_stand_there():
    lines = [
        line.split("#")[0].strip() for b in code_blocks(README, "sh") for line in b.splitlines()
    ]
    assert lines[:2] == ["make demo", "make test"]
    four = ["voxedge train", "voxedge export model.onnx", "voxedge identify clip.wav", "make bench"]
    assert lines[2:6] == four


def test_it_is_short():
    assert len(README.read_text().splitlines()) <= 150


def test_make_alone_lists_the_targets():
    done = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True)
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^([a-z-]+):(?!=)", makefile, re.MULTILINE):
        assert f"make {target}" in done.stdout
