"""The README's snippets run as they stand there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SPEAKERS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(workshop, tmp_path):
    """What a reader has after the first commands: a model, a clip, recordings."""
    shutil.copy(workshop / "model.onnx", tmp_path)
    shutil.copy(workshop / "ada.wav", tmp_path / "clip.wav")
    shutil.copytree(workshop / "data", tmp_path / "recordings")
    (tmp_path / "recordings" / "broken.wav").write_bytes(b"nothing")
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "voxedge").write_text(f'#!/bin/sh\nexec {sys.executable} -m voxedge "$@"\n')
    (binaries / "voxedge").chmod(0o755)
    return tmp_path


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    line = f'PATH="{folder}/bin:$PATH"; {command}'
    return subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("code", blocks("python"), ids=["identifier", "bare onnxruntime"])
def test_the_python_snippets_name_a_speaker(folder, code):
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] in SPEAKERS


def test_both_snippets_agree(folder):
    answers = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True
        ).stdout.split()[0]
        for code in blocks("python")
    }
    assert len(answers) == 1


def test_the_bare_snippet_is_ten_lines():
    (_, bare) = blocks("python")
    assert len([line for line in bare.splitlines() if line.strip()]) <= 10


def test_the_shell_snippets(folder):
    (stdin,) = (b for b in blocks("sh") if b.startswith("cat clip.wav"))
    done = shell(stdin, folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["speaker"] in SPEAKERS
    (many,) = (b for b in blocks("sh") if "answers.ndjson" in b)
    assert shell(many, folder).returncode == 5  # one of them is broken
    records = [json.loads(line) for line in (folder / "answers.ndjson").read_text().splitlines()]
    assert len(records) == 33
    assert sum("error" in record for record in records) == 1


def test_the_commands_named_are_commands_there_are():
    commands = "train|export|identify|evaluate|compare|inspect|tune|doctor|data [a-z0-9]+"
    named = set(re.findall(rf"voxedge ({commands})", README))
    for command in named:
        arguments = [sys.executable, "-m", "voxedge", *command.split(), "--help"]
        assert subprocess.run(arguments, capture_output=True).returncode == 0, command
    targets = set(re.findall(r"make (demo|test|bench|model|setup|lint|clean)", README))
    makefile = (ROOT / "Makefile").read_text()
    assert {"demo", "test", "bench"} <= targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_make_alone_lists_the_targets():
    done = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True)
    for target in ("setup", "demo", "test", "bench", "model", "lint", "clean"):
        assert f"make {target}" in done.stdout


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(((?!http)[^)#]+)", README):
        assert (ROOT / target).exists(), target
