"""Threads: how many this process may use, and a map that runs ahead of its consumer, in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_processors() -> int:
    """Processors this process may use: its affinity, cut down to its cgroup's quota (v2 and v1)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(count or 1, _cgroup_quota()))


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """``map`` on ``workers`` threads, results in order, never more than 2 a worker ahead.

    For work that leaves the interpreter lock: decoding, resampling. An error is raised where its
    result would have come. A single item is worked on at once, and no thread loaded for it.
    """
    items = iter(items)
    begun = list(islice(items, 2)) if workers > 0 else []
    if len(begun) < 2:
        yield from map(function, chain(begun, items))
        return
    from concurrent.futures import ThreadPoolExecutor

    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="voxedge") as pool:
        try:
            for item in chain(begun, items):
                pending.append(pool.submit(function, item))
                if len(pending) >= 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _cgroup_quota(root: Path = Path("/sys/fs/cgroup")) -> int:
    try:
        quota, period = (root / "cpu.max").read_text().split()[:2]
    except (OSError, ValueError):
        try:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return 1 << 16
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return 1 << 16  # "max", or -1: no quota
    return max(1, round(int(quota) / int(period)))
