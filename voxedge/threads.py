"""How many processors this process may use, and an ordered map on several threads."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")

_NO_QUOTA = 1 << 16
_ESCAPED = re.compile(r"\\([0-7]{3})")  # a character in mountinfo: a blank is \040


def available_processors() -> int:
    """Processors that the affinity and the quotas of cgroups (v2 or v1) leave to this process."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(count or 1, _cgroup_quota()))


def idle_processors(seconds: float = 0.3, stat: Path = Path("/proc/stat")) -> int:
    """Processors of this process that no other program uses, at least one.

    Training waits for all its threads many times in a step, so one thread that shares a processor
    holds up the others: next to one busy program, two threads on two processors are half as fast
    as one (docs/decisions.md).

    Args:
        seconds: to watch for.
        stat: the system's counters of processor time (man 5 proc); without them no processor is
            taken for busy.
    """
    available, before = available_processors(), _processor_ticks(stat)
    time.sleep(seconds)
    after = _processor_ticks(stat)
    ticks = sum(after) - sum(before)
    if ticks <= 0:
        return available
    idle = sum(after[3:5]) - sum(before[3:5])  # idle, and waiting for a disk
    processors = os.cpu_count() or 1
    return max(1, min(available, round(processors * idle / ticks)))


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Map on ``workers`` threads and yield the results in order, at most 2 a worker ahead.

    For work that releases the interpreter lock: decoding, resampling, inference. An exception is
    raised where its result would have come. Without workers, or for a single item, no thread is
    started.
    """
    items = iter(items)
    first = list(islice(items, 2)) if workers > 0 else []
    if len(first) < 2:
        yield from map(function, chain(first, items))
        return
    from concurrent.futures import ThreadPoolExecutor

    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="voxedge") as pool:
        try:
            for item in chain(first, items):
                pending.append(pool.submit(function, item))
                if len(pending) >= 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _processor_ticks(stat: Path) -> list[int]:
    """Ticks of all processors together: user, nice, system, idle, iowait, and so on."""
    words = next(iter(_lines(stat)), "").split()
    return [int(word) for word in words[1:9]] if words[:1] == ["cpu"] else []


def _cgroup_quota(proc: Path = Path("/proc/self")) -> int:
    """Whole processors of the CPU quota; more than any machine has where there is none.

    A quota of any group above this process's own holds as well: containers and systemd nest them.
    So the smallest on the way to the root counts, in the hierarchy of cgroup v2 and of v1's
    controller ``cpu`` (man 7 cgroups, man 5 proc: ``/proc/self/cgroup`` and ``mountinfo``).
    """
    shares = [_share(folder) for folder in _cgroups(proc)]
    return max(1, round(min(shares, default=_NO_QUOTA)))


def _cgroups(proc: Path) -> Iterator[Path]:
    """The folders of this process's cgroups, from its own to the topmost that is mounted here."""
    paths: dict[str, str] = {}
    for line in _lines(proc / "cgroup"):
        _, _, rest = line.partition(":")  # the number of the hierarchy
        controllers, _, path = rest.partition(":")
        if not controllers:
            paths["cgroup2"] = path
        elif "cpu" in controllers.split(","):
            paths["cgroup"] = path
    for line in _lines(proc / "mountinfo"):
        about, _, filesystem = line.partition(" - ")
        fields, (kind, *options) = about.split(" "), filesystem.split(" ")
        if len(fields) < 5 or kind not in paths:
            continue
        if kind == "cgroup" and "cpu" not in options[-1].split(","):
            continue
        root, mount = (_ESCAPED.sub(lambda code: chr(int(code[1], 8)), f) for f in fields[3:5])
        yield from _upward(Path(mount), root, paths[kind])


def _upward(mount: Path, root: str, path: str) -> Iterator[Path]:
    """A cgroup's folder and those above it, where ``mount`` shows the hierarchy from ``root`` on.

    A container without a cgroup namespace sees the path of the host, of which only its own part
    is mounted; a process that was moved out of its namespace has a path with ``..``.
    """
    parts, above = Path(path).parts, Path(root).parts
    inner = parts[len(above) :] if parts[: len(above)] == above and ".." not in parts else ()
    for length in range(len(inner), -1, -1):
        yield mount.joinpath(*inner[:length])


def _share(folder: Path) -> float:
    """Processors of one cgroup's quota; ``_NO_QUOTA`` where it has none."""
    words = " ".join(_lines(folder / "cpu.max")).split()  # v2
    if not words:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")  # v1
        words = [word for name in names for word in _lines(folder / name)]
    if len(words) != 2 or not all(map(str.isdecimal, words)) or int(words[1]) == 0:
        return _NO_QUOTA  # "max" in v2, -1 in v1
    return int(words[0]) / int(words[1])


def _lines(file: Path) -> list[str]:
    """The lines of a small file; none where it cannot be read."""
    try:
        return file.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
