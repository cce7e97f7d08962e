"""``python -m bench``: train if need be, run the suites, write BENCHMARKS.md and results.json.

The suites run under pytest-benchmark in a process of their own, so that stdout holds nothing but
the answer, and every numerical library starts with the same number of threads. The results hold
the machine, the subject, and in ``figures`` the entries of each suite: what was set, and what was
measured, as it is left in pytest-benchmark's ``extra_info``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from importlib import metadata
from pathlib import Path
from typing import Any

from bench import record
from bench.contestants import why_no_cuda
from bench.installed import installed
from bench.machine import Bystanders, card
from bench.picture import draw
from bench.prepare import BUILD, ROOT, prepare
from bench.table import render
from voxedge.cli.console import answer, complain, say
from voxedge.errors import RunError, VoxedgeError
from voxedge.files import write_text
from voxedge.threads import available_processors

RAW = BUILD / "pytest-benchmark.json"
_RESULTS = "bench/results.json"


def main() -> int:
    """Measure and report; the exit code is pytest's."""
    options = _options()
    if options.render:
        try:
            results = json.loads((ROOT / _RESULTS).read_text())
        except FileNotFoundError:
            complain(RunError(f"there is no {_RESULTS} to report", "make bench"))
            return RunError.exit_code
        _write(results | {"records": record.read()}, ROOT)
        return 0
    try:
        material = prepare(options.quick)
    except VoxedgeError as error:
        complain(error)
        return error.exit_code
    machine = card()
    problem = why_no_cuda(material.file("fp32"))
    skipped = [f"CUDA was not measured: {problem}"] if problem else []
    bystanders, start = Bystanders(), time.monotonic()
    status = _run_suites(["cpu"] if problem else ["cpu", "cuda"], options.rounds)
    others = bystanders.percent()
    if not RAW.is_file() or not RAW.stat().st_size:
        return status or 1
    results = {
        "machine": machine,
        "subject": material.describe(),
        "quick": options.quick,
        "rounds": options.rounds,
        "seconds": round(time.monotonic() - start),
        "others_percent": round(others, 1),
        "skipped": [*skipped, *material.refused.values()],
        "installed": _installed(),
        "figures": _figures(RAW),
        "records": record.read(),
    }
    _write(results, BUILD if options.quick or status else ROOT)
    return status


def _write(results: dict[str, Any], folder: Path) -> None:
    """The table, the figures behind it and the picture: in the repository if they are whole."""
    places = {"text": "BENCHMARKS.md", "json": _RESULTS, "picture": "docs/sizes.svg"}
    paths = {what: folder / place for what, place in places.items()}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    for entry in results["figures"].get("sizes", []):
        draw(entry, results["records"], paths["picture"])
    lists = re.compile(r"\[[-+.\de,\s]+\]")
    text = lists.sub(lambda found: " ".join(found[0].split()), json.dumps(results, indent=1))
    write_text(paths["json"], text + "\n")
    rendered = render(results)
    write_text(paths["text"], rendered)
    answer(rendered)
    say(", ".join(str(path) for path in paths.values()))


def _installed() -> dict[str, Any]:
    try:
        return installed()
    except metadata.PackageNotFoundError as error:
        return {"missing": f"{error.name} is not installed"}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="turns that are timed (default: 7)")
    parser.add_argument(
        "--quick", action="store_true", help="few speakers, two turns: to see that all works"
    )
    parser.add_argument(
        "--render",
        action="store_true",
        help="measure nothing: report the last whole run anew, beside the records there are now",
    )
    options = parser.parse_args()
    if options.render and options.quick:
        parser.error("--render reports a whole run, --quick makes none")
    if options.quick:
        options.rounds = min(options.rounds, 2)
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    return options


def _run_suites(devices: list[str], rounds: int) -> int:
    RAW.unlink(missing_ok=True)
    threads = str(available_processors())
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    command = [sys.executable, "-m", "pytest", "bench", "-v", "-p", "no:cacheprovider"]
    command += ["-o", "python_files=bench_*.py", f"--rounds={rounds}"]
    command += [f"--device={device}" for device in devices]
    command += ["--benchmark-quiet", f"--benchmark-json={RAW}", f"--benchmark-storage={BUILD}"]
    environment = os.environ | dict.fromkeys(names, threads)
    return subprocess.run(
        command, cwd=ROOT, env=environment, stdout=sys.stderr, check=False
    ).returncode


def _figures(raw: Path) -> dict[str, list[dict[str, Any]]]:
    """What the suites left in pytest-benchmark's file, by suite."""
    suites: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in json.loads(raw.read_text())["benchmarks"]:
        info = entry["extra_info"]
        suites[info.pop("suite")].append(info)
    return dict(suites)


if __name__ == "__main__":
    sys.exit(main())
