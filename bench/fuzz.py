"""``python -m bench.fuzz``: fuzz every target in turn, with atheris (``make fuzz``).

Each target has a process of its own and an equal share of the time. What was found stays in
``build/fuzz``: inputs that reach new code, from which the next campaign begins, and those that
failed. ``--record`` writes the counts to ``bench/fuzz.json``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from bench import cli
from bench.campaigns import FUZZING, ROOT, FuzzRecord
from bench.machine import describe_machine
from tests.fuzz.table import TARGETS
from voxedge.errors import MissingExtra, VoxedgeError
from voxedge.files import write_json
from voxedge.install import install_command

BUILD = ROOT / "build" / "fuzz"
_SLOWEST = 20  # seconds for one input: more is a hang
_MOST_MEMORY = 3_000  # MiB; above it the process is stopped
_PACKAGES = (
    *("voxedge-speaker", "atheris", "hypothesis", "onnxruntime", "numpy", "soundfile", "soxr"),
    *("av", "fastapi", "starlette"),
)
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)")

app = cli.new_app()


@app.command()
def main(
    seconds: Annotated[float, typer.Option(help="For all targets together.")] = 3_600.0,
    target: Annotated[str | None, typer.Option(help="Some of them, with commas.")] = None,
    seed: Annotated[int, typer.Option(help="Of what is tried; 0: another every time.")] = 0,
    runs: Annotated[int, typer.Option(help="The most of each target; -1: no limit.")] = -1,
    record: Annotated[
        bool, typer.Option("--record", help="Write the counts to bench/fuzz.json.")
    ] = False,
) -> None:
    """Fuzz voxedge; fails if an input makes it crash, hang or give a wrong answer."""
    if find_spec("atheris") is None:
        raise MissingExtra("fuzzing needs atheris", install_command("fuzz"))
    names = cli.choose("--target", target, TARGETS)
    counts: dict[str, int] = {}
    failed: list[str] = []
    began = time.monotonic()
    for name in names:
        counts[name], found = fuzz(name, max(1, round(seconds / len(names))), seed, runs)
        failed += found
        print(
            f"{name:<12} {counts[name]:>10,} executions  {'FAILED' if found else 'ok'}", flush=True
        )
    spent = round(time.monotonic() - began)
    print(f"{sum(counts.values()):,} executions in {spent} s, {len(failed)} failed")
    if record:
        made: FuzzRecord = {
            "date": date.today().isoformat(),
            "seconds": spent,
            "executions": counts,
            "failures": len(failed),
            "machine": describe_machine(_PACKAGES),
        }
        write_json(FUZZING, made)
    if failed:
        raise VoxedgeError(f"inputs that fail: {', '.join(failed)}")


def fuzz(name: str, seconds: int, seed: int = 0, runs: int = -1) -> tuple[int, list[str]]:
    """Fuzz one target; the number of executions, and the files of inputs that failed."""
    target, corpus = TARGETS[name], BUILD / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(content)
    words = BUILD / f"{name}.dict"
    words.write_text("# of libFuzzer\n" + "".join(f'"{_escaped(word)}"\n' for word in target.words))
    before = set(BUILD.glob(f"{name}-*"))
    options = (
        *(f"-max_total_time={seconds}", f"-timeout={_SLOWEST}", f"-rss_limit_mb={_MOST_MEMORY}"),
        *(f"-max_len={target.longest}", f"-artifact_prefix={BUILD / name}-", f"-dict={words}"),
        *("-print_final_stats=1", f"-seed={seed}", f"-runs={runs}", str(corpus)),
    )
    log = BUILD / f"{name}.log"
    with log.open("wb") as output, TemporaryDirectory(dir=_memory()) as folder:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.worker", name, *options],
            cwd=ROOT,
            stdout=output,
            stderr=output,
            env=os.environ | {"ORT_DISABLE_TELEMETRY": "1", "TMPDIR": folder},
            check=False,
        )
    text = log.read_text(errors="replace")
    executed = _EXECUTED.search(text)
    failed = [str(path.relative_to(ROOT)) for path in set(BUILD.glob(f"{name}-*")) - before]
    if done.returncode and not failed:
        failed = [str(log.relative_to(ROOT))]
    return int(executed[1]) if executed else 0, failed


def _memory() -> Path | None:
    """Where files need no disk; libFuzzer ends a process without its own cleaning up."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() else None


def _escaped(word: str) -> str:
    return "".join(c if c.isalnum() or c == " " else f"\\x{ord(c):02x}" for c in word)


if __name__ == "__main__":
    sys.exit(cli.run(app, "python -m bench.fuzz", None))
