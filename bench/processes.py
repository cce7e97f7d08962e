"""``python -m bench.processes 100000``: memory of processes that search one gallery together.

Each person has three clips, synthetic ones of ``bench.search``. The processes are fresh, open the
gallery, search, and wait until all of them are measured (``/proc/PID/smaps_rollup``, Linux): RSS
counts shared pages in every process, PSS (proportional set size) divides them. None of them opens a
model file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from bench import cli
from bench.search import make_clips_of, make_people
from voxedge.gallery import file
from voxedge.gallery.people import Contents, EnrolledClip, GalleryModel, Person

_CLIPS = 3

#: Opens a gallery, searches, says how long it took, and waits. Without an argument it opens none.
_SEARCH = """
import sys, time
from pathlib import Path
import numpy as np
from voxedge.gallery import file
from voxedge.gallery.neighbours import open_index
if len(sys.argv) > 1:
    path, start = Path(sys.argv[1]), time.perf_counter()
    contents = file.read(path)
    opened = time.perf_counter() - start
    index = open_index(contents.means, path)
    ready = time.perf_counter() - start
    for row in contents.means[::5000]:
        found = index.search(row[None], 5)
        assert found.cosines[0, 0] > 0.999
    del found
    print(f"{opened:.3f} {ready:.3f}", flush=True)
else:
    print("0 0", flush=True)
sys.stdin.readline()
"""

app = cli.new_app()


@app.command()
def main(
    people: Annotated[int, typer.Argument(metavar="PEOPLE", help="How many there are.")] = 100_000,
    processes: Annotated[int, typer.Option(help="That search at the same time.")] = 4,
) -> None:
    """Measure resident and proportional memory: one JSON object."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.vxg"
        start = time.perf_counter()
        file.write(path, _gallery(people))
        written = time.perf_counter() - start
        found: dict[str, Any] = {
            "people": people,
            "file_MB": round(path.stat().st_size / 1e6, 1),
            "written_s": round(written, 1),
            "without_a_gallery": _measured(1),
            "first": _measured(1, path),
            "together": _measured(processes, path),
        }
    print(json.dumps(found))


def _measured(processes: int, *gallery: Path) -> dict[str, Any]:
    """Memory of so many fresh processes, MB each, and the slowest one's times in seconds."""
    command = [sys.executable, "-c", _SEARCH, *map(str, gallery)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, **pipes, env=os.environ) for _ in range(processes)]
    times = [[float(word) for word in each.stdout.readline().split()] for each in started]
    memory = [_rollup(each.pid) for each in started]
    for each in started:
        each.communicate("\n")
    opened, ready = np.max(times, axis=0)
    names = {"Rss": "rss_MB", "Pss": "pss_MB", "Private": "private_MB"}
    return {
        "processes": processes,
        "opened_s": round(float(opened), 2),
        "ready_s": round(float(ready), 2),
        **{new: [round(each[name] / 1e3) for each in memory] for name, new in names.items()},
    }


def _rollup(pid: int) -> dict[str, int]:
    """Memory of a process in kB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    values = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return values | {"Private": values["Private_Clean"] + values["Private_Dirty"]}


def _gallery(people: int) -> Contents:
    random = np.random.default_rng(0)
    rows = make_people(people, random)
    clips = [make_clips_of(rows, random) for _ in range(_CLIPS)]
    model = GalleryModel("0" * 64, "campplus.onnx", "", 16_000, rows.shape[1])
    return Contents(
        model,
        tuple(
            Person(
                f"person {number:06d}",
                tuple(
                    EnrolledClip(f"{number:06d}_{n}.wav", 3.2, 2.5, each[number])
                    for n, each in enumerate(clips)
                ),
            )
            for number in range(people)
        ),
    )


if __name__ == "__main__":
    sys.exit(cli.run(app, "python -m bench.processes", None))
