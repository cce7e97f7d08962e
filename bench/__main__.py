"""``python -m bench``: train if need be, run the suites, write BENCHMARKS.md and results.json.

The suites run under pytest-benchmark in a process of their own, so that stdout holds nothing but
the report, and every numerical library starts with the same number of threads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from bench import cli, record
from bench.contestants import why_no_cuda
from bench.installed import installed
from bench.machine import OtherPrograms, describe_machine
from bench.picture import draw
from bench.prepare import BUILD, ROOT, prepare
from bench.results import Installed, Results, read_suites, to_json
from bench.table import render
from voxedge.cli.console import answer, say
from voxedge.errors import RunError, UsageError
from voxedge.files import write_text
from voxedge.threads import available_processors

_RAW = BUILD / "pytest-benchmark.json"
_RESULTS = "bench/results.json"
_QUICK_ROUNDS = 2
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

app = cli.new_app()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit code, pytest's where a suite failed."""
    return cli.run(app, "python -m bench", arguments)


@app.command()
def measure(
    rounds: Annotated[int, typer.Option(min=1, help="Turns that are timed.")] = 7,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few speakers, two turns: to see that everything works.")
    ] = False,
    again: Annotated[
        bool,
        typer.Option(
            "--render",
            help="Measure nothing: report the last whole run again, with the present records.",
        ),
    ] = False,
) -> int:
    """Measure voxedge and what a user would pick instead, and write BENCHMARKS.md."""
    if again and quick:
        raise UsageError("--render reports a whole run, --quick makes none")
    if again:
        _report(_last_results(), ROOT)
        return 0
    prepared = prepare(quick)
    machine = describe_machine()
    problem = why_no_cuda(prepared.file("fp32"))
    skipped = [f"CUDA was not measured: {problem}"] if problem else []
    rounds = min(rounds, _QUICK_ROUNDS) if quick else rounds
    others, start = OtherPrograms(), time.monotonic()
    status = _run_suites(["cpu"] if problem else ["cpu", "cuda"], rounds)
    others_percent = others.percent()
    if not _RAW.is_file() or not _RAW.stat().st_size:
        return status or 1
    results: Results = {
        "machine": machine,
        "subject": prepared.describe(),
        "quick": quick,
        "rounds": rounds,
        "seconds": round(time.monotonic() - start),
        "others_percent": round(others_percent, 1),
        "skipped": [*skipped, *prepared.refused.values()],
        "installed": _installed(),
        "figures": read_suites(_RAW),
        "records": record.read(),
    }
    _report(results, BUILD if quick or status else ROOT)
    return status


def _last_results() -> Results:
    """The results of the last whole run, with the present records.

    Raises:
        RunError: there is none.
    """
    try:
        results: Results = json.loads((ROOT / _RESULTS).read_text())
    except FileNotFoundError:
        raise RunError(f"there is no {_RESULTS} to report", "make bench") from None
    results["records"] = record.read()
    return results


def _report(results: Results, folder: Path) -> None:
    """Write the tables, the results behind them and the picture; show the tables."""
    names = {"text": "BENCHMARKS.md", "json": _RESULTS, "picture": "docs/sizes.svg"}
    paths = {what: folder / name for what, name in names.items()}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    for entry in results["figures"].get("sizes", []):
        draw(entry, results["records"], paths["picture"])
    write_text(paths["json"], to_json(results))
    text = render(results)
    write_text(paths["text"], text)
    answer(text)
    say(", ".join(str(path) for path in paths.values()))


def _installed() -> Installed:
    try:
        return installed()
    except metadata.PackageNotFoundError as error:
        return {"missing": f"{error.name} is not installed"}


def _run_suites(devices: list[str], rounds: int) -> int:
    """Run every suite on these devices; pytest's exit code."""
    _RAW.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "bench", "-v", "-p", "no:cacheprovider"]
    command += ["-o", "python_files=bench_*.py", f"--rounds={rounds}"]
    command += [f"--device={device}" for device in devices]
    command += ["--benchmark-quiet", f"--benchmark-json={_RAW}", f"--benchmark-storage={BUILD}"]
    environment = os.environ | dict.fromkeys(_THREADS, str(available_processors()))
    return subprocess.run(
        command, cwd=ROOT, env=environment, stdout=sys.stderr, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
