"""How many processors this process may use, and an ordered map on several threads."""

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

_NO_QUOTA = 1 << 16


def available_processors() -> int:
    """Processors that the affinity and the cgroup's quota (v2 or v1) leave to this process."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(count or 1, _cgroup_quota()))


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


def _cgroup_quota(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Whole processors of the quota; more than any machine has where there is none."""
    try:
        quota, period = (root / "cpu.max").read_text().split()[:2]
    except (OSError, ValueError):
        try:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return _NO_QUOTA
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return _NO_QUOTA  # "max" in v2, -1 in v1
    return max(1, round(int(quota) / int(period)))
