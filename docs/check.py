"""Check the commands of the documents: ``python -m docs.check [DOCUMENT...]`` runs the slow ones.

``docs.commands`` knows every line of the documents' shell blocks, as it stands there, and how it is
checked; a line that it does not know is an error. Whatever else happens to a line, its commands,
flags and recipe values are parsed, and so are the commands within sentences.

A line is run in a folder that holds what its reader has by then: a corpus, runs, a model file,
clips. Every block gets a fresh copy of that folder.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from typer.main import get_command

from docs.commands import CHECKS, Check
from docs.make import ROOT, command
from tests.conftest import RATE, make_workshop, voxedge, write_corpus
from voxedge.train.recipe import load, parse_settings

DOCUMENTS = tuple(
    path
    for folder in ("", "docs", "bench/models", "voxedge/base")
    for path in sorted((ROOT / folder).glob("*.md"))
    if path.name not in ("BENCHMARKS.md", "experiments.md")
)
_STRANGERS = {"eve": 130.0, "fay": 240.0}  # Hz, as ``tests.conftest.SPEAKERS``


class Block(NamedTuple):
    """A shell block of a document."""

    document: Path
    lines: tuple[str, ...]  # without comments

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.document.relative_to(ROOT)}: {self.lines[0]}"


def blocks() -> Iterator[Block]:
    """The shell blocks of all documents, in order."""
    for document in DOCUMENTS:
        for text in code_blocks(document, "sh"):
            lines = (re.split(r"\s+#\s", line)[0].strip() for line in text.splitlines())
            yield Block(document, tuple(filter(None, lines)))


def code_blocks(document: Path, language: str) -> list[str]:
    """The content of a document's fenced blocks in a language."""
    text = document.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def mentioned() -> Iterator[tuple[Path, str]]:
    """Commands within sentences, and those whose output is shown; not those that are cut short."""
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        prose = re.sub(r"^```(?:\w+)\n.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        found = re.findall(r"(?<!`)`((?:voxedge|make|python -m) [a-z][^`]*)`(?!`)", prose)
        found += re.findall(r"^\$ (.+)$", prose, re.MULTILINE)
        yield from ((document, line) for line in found if "..." not in line)


def parse(line: str) -> None:
    """Refuse commands, flags, values and make targets that do not exist.

    Raises:
        Exception: of click or of this module; its message says what is wrong.
    """
    for words in _commands(line):
        match words:
            case ["voxedge", *arguments]:
                _parse_voxedge(arguments)
            case ["make", *targets]:
                done = subprocess.run(
                    ["make", "-n", *targets], cwd=ROOT, capture_output=True, text=True
                )
                _require(done.returncode == 0, done.stderr)
            case ["torchrun", "--standalone", "--nproc-per-node", _, "-m", "voxedge", *arguments]:
                _parse_voxedge(arguments)
            case ["python", "-m", module, *arguments]:
                _parse_module(module, arguments)
            case ["pip", "install", requirement]:
                _parse_requirement(requirement)
            case ["cat", _] | ["openssl", *_]:
                pass
            case _:
                _require(False, f"{words[0]} is not a program that is known here")


def _commands(line: str) -> Iterator[list[str]]:
    """The words of each command of a pipeline, without redirections."""
    words: list[str] = []
    for word in [*shlex.split(line), "|"]:
        if word == "|":
            yield words[: words.index(">")] if ">" in words else words
            words = []
        else:
            words.append(word)


def _parse_voxedge(arguments: list[str]) -> None:
    words = list(arguments)
    found = command([words.pop(0)])
    while hasattr(found, "commands") and words:  # a group of commands
        found = found.commands[words.pop(0)]
    values = _parsed(found, words)
    changes = parse_settings(values.get("settings") or [])
    load("default").with_values(changes)


def _parse_module(module: str, arguments: list[str]) -> None:
    spec = importlib.util.find_spec(module)
    _require(spec is not None, f"there is no module {module}")
    if not module.startswith("bench") or not arguments:
        return
    main = importlib.import_module(
        f"{module}.__main__" if spec.submodule_search_locations else module
    )
    found = get_command(main.app)
    words = list(arguments)
    if hasattr(found, "commands"):
        found = found.commands[words.pop(0)]
    _parsed(found, words)


def _parsed(found: Any, words: list[str]) -> dict[str, Any]:  # noqa: ANN401 - a command of click
    """The values of a command's parameters; within sentences required ones may be left out."""
    try:
        values: dict[str, Any] = found.make_context(found.name, words).params
    except Exception as error:
        if type(error).__name__ == "MissingParameter" and not words:
            return {}
        if type(error).__name__ == "NoArgsIsHelpError":
            return {}
        raise
    return values


def _parse_requirement(requirement: str) -> None:
    """Only this clone or a wheel of this version: the name on the index is another project's."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wheel = f"./{about['name'].replace('-', '_')}-{about['version']}-py3-none-any.whl"
    where, _, extras = requirement.rstrip("]").partition("[")
    _require(where in (".", wheel), f"{requirement} is neither a clone nor {wheel}")
    unknown = set(extras.split(",")) - set(about["optional-dependencies"])
    _require(not unknown, f"no such extra: {unknown}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def prepare(workshop: Path, folder: Path) -> Path:
    """A folder with all that the documents' commands read.

    Args:
        workshop: of ``tests.conftest.make_workshop``.
        folder: to make; its files are links to the workshop's where they are the same.
    """
    copy(workshop, folder)
    shutil.copy(workshop / "ada.wav", folder / "clip.wav")
    samples, _ = soundfile.read(workshop / "ada.wav", dtype="int16")
    (folder / "clip.raw").write_bytes(samples.astype("<i2").tobytes())
    copy(workshop / "data", folder / "recordings")
    (folder / "recordings" / "broken.wav").write_bytes(b"nothing")
    write_corpus(folder / "strangers", speakers=_STRANGERS)
    random = np.random.default_rng(0)
    for name in ("noise", "rooms"):
        (folder / name).mkdir()
    for index in range(8):  # enough for both halves
        noise = 0.1 * random.normal(size=2 * RATE)
        soundfile.write(folder / "noise" / f"{index}.wav", noise, RATE)
        room = random.normal(size=RATE // 4) * np.exp(-np.arange(RATE // 4) / 800)
        soundfile.write(folder / "rooms" / f"{index}__0.wav", 0.1 * room, RATE)
    names = sorted(path.name for path in (workshop / "data").iterdir())
    rows = [f"{name},{index % 2}\n" for index, name in enumerate(names)]
    (folder / "speakers.csv").write_text("speaker,group\n" + "".join(rows))
    (folder / "mine.toml").write_text(code_blocks(ROOT / "docs" / "train.md", "toml")[0])
    (folder / "bench").symlink_to(ROOT / "bench")
    evaluation = ("evaluate", "--model", "model.onnx", "--data", "data", "--stress", "none")
    done = voxedge(*evaluation, cwd=folder)
    assert done.returncode == 0, done.stderr
    for name in "abcd":
        copy(folder / "model-evaluation", folder / "runs" / name / "evaluation")
    write_programs(folder / "bin")
    return folder


def copy(source: Path, target: Path) -> None:
    """Copy a folder by links to its files: voxedge replaces files, and never writes into one."""
    shutil.copytree(source, target, copy_function=os.link, symlinks=True, dirs_exist_ok=True)


def write_programs(folder: Path) -> None:
    """``voxedge``, ``python`` and ``pip``, with this Python."""
    folder.mkdir()
    programs = {"voxedge": "-m voxedge", "python": "", "pip": "-m pip"}
    for name, arguments in programs.items():
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n')
        program.chmod(0o755)


def run(line: str, check: Check, folder: Path) -> str:
    """Run a line in a prepared folder; what is wrong, or nothing."""
    environment = {k: v for k, v in os.environ.items() if k != "VOXEDGE_MODEL"}
    environment |= {
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        ["bash", "-c", f"{line} {check.append}"],
        cwd=folder if check.where == "folder" else ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode == check.status:
        return ""
    return f"exit code {done.returncode}, not {check.status}\n{(done.stdout + done.stderr)[-2000:]}"


def main(documents: Sequence[str]) -> int:
    """Run the slow lines of documents, without names of all; 1 if one of them failed."""
    build = ROOT / "build" / "docs"
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir(parents=True)
    _say("preparing a corpus, a run and a model file")
    prepared = prepare(make_workshop(build / "workshop"), build / "prepared")
    wheel = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    subprocess.run([*wheel, prepared, ROOT], check=True, capture_output=True)
    failed = 0
    for block in blocks():
        slow = [line for line in block.lines if CHECKS[line].how == "slow"]
        if not slow or (documents and block.document.name not in documents):
            continue
        folder = build / "block"
        copy(prepared, folder)
        for line in slow:
            began = time.monotonic()
            problem = run(line, CHECKS[line], folder)
            failed += bool(problem)
            state = "failed" if problem else "ok"
            _say(f"{state:>6} {time.monotonic() - began:5.0f} s  {line}  ({block.document.name})")
            if problem:
                _say(problem)
        shutil.rmtree(folder)
    _say(f"{failed} failed")
    return 1 if failed else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
