"""Start one program, wait for it, and print its time and peak memory as one JSON line.

A program's peak memory, as the system counts it, starts from that of its parent process, and the
suites' own process holds PyTorch. So the suites start this small script, which starts the program.
It reads no site-packages (``-I -S``), and its own start is not measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

POSSIBLE = hasattr(os, "wait4")


class Cost(NamedTuple):
    """What a program took."""

    seconds: float
    peak_bytes: int


def cost_of(command: list[str], folder: Path) -> Cost:
    """Run a program in a folder; its stdout is discarded.

    Raises:
        RuntimeError: it failed; the message holds its stderr.
    """
    launcher = [sys.executable, "-I", "-S", __file__, *command]
    done = subprocess.run(launcher, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return Cost(**json.loads(done.stdout))


def main() -> int:
    """Run the program that the arguments name; 1 if it failed."""
    start = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, bytes
    print(json.dumps(Cost(seconds, usage.ru_maxrss * unit)._asdict()))
    return int(process.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
