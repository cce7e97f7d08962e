"""Threads: the processors of this process, and a map that keeps the order."""

from __future__ import annotations

import threading
import time

import pytest

from voxedge import threads
from voxedge.threads import (
    _NO_QUOTA,
    _cgroup_quota,
    available_processors,
    idle_processors,
    ordered_map,
)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_results_come_in_order(workers, count):
    def slow_first(number: int) -> int:
        time.sleep(0.01 if number == 0 else 0)
        return -number

    assert list(ordered_map(slow_first, range(count), workers)) == [-n for n in range(count)]


def test_an_exception_is_raised_where_its_result_would_come():
    results = ordered_map(lambda number: 1 // (number - 2), range(9), 2)
    assert [next(results), next(results)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_few_items_are_taken_ahead():
    taken = []

    def items():
        for number in range(1_000):
            taken.append(number)
            yield number

    results = ordered_map(str, items(), 3)
    assert next(results) == "0"
    assert len(taken) <= 2 * 3
    results.close()


def test_a_single_item_needs_no_thread():
    (name,) = ordered_map(lambda _: threading.current_thread().name, [None], 4)
    assert name == threading.current_thread().name


@pytest.mark.parametrize(
    ("user", "idle", "expected"),
    [(0, 80, 4), (20, 60, 3), (40, 40, 2), (80, 0, 1), (30, 50, 2), (0, 0, 4)],
)
def test_processors_that_others_use_are_not_idle(tmp_path, monkeypatch, user, idle, expected):
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 5 50 1000 10 0 3 0 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    monkeypatch.setattr(threads, "available_processors", lambda: 4)
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 4)

    def watch(_seconds):
        stat.write_text(f"cpu  {100 + user} 5 50 {1000 + idle} 10 0 3 0 0 0\n")

    monkeypatch.setattr(threads.time, "sleep", watch)
    assert idle_processors(stat=stat) == expected


def test_no_processor_is_taken_for_busy_where_that_is_not_known(tmp_path):
    assert idle_processors(0, tmp_path / "stat") == available_processors()


V1, V2 = "cgroup cgroup rw,cpu,cpuacct", "cgroup2 cgroup2 rw"


def quota(v1: int, period: int = 100_000) -> dict[str, str]:
    """The files of a quota in cgroup v1."""
    return {"cpu.cfs_quota_us": f"{v1}\n", "cpu.cfs_period_us": f"{period}\n"}


def v2(text: str) -> dict[str, str]:
    """The file of a quota in cgroup v2."""
    return {"cpu.max": f"{text}\n"}


@pytest.mark.parametrize(
    ("cgroup", "mounts", "quotas", "processors"),
    [
        # One cgroup: the root of what is mounted, as in a container with a namespace.
        ("0::/", {"": ("/", V2)}, {"": v2("150000 100000")}, 2),
        ("0::/", {"": ("/", V2)}, {"": v2("10000 100000")}, 1),
        ("0::/", {"": ("/", V2)}, {"": v2("max 100000")}, _NO_QUOTA),
        ("0::/", {"": ("/", V2)}, {"": v2("100000 0")}, _NO_QUOTA),
        ("0::/", {"": ("/", V2)}, {"": v2("nonsense")}, _NO_QUOTA),
        ("0::/", {"": ("/", V2)}, {}, _NO_QUOTA),
        ("4:cpu,cpuacct:/", {"cpu": ("/", V1)}, {"cpu": quota(400_000)}, 4),
        ("4:cpu,cpuacct:/", {"cpu": ("/", V1)}, {"cpu": quota(-1)}, _NO_QUOTA),
        # Nested: the smallest of the path, wherever it stands.
        ("0::/a/b", {"": ("/", V2)}, {"a/b": v2("300000 100000")}, 3),
        ("0::/a/b", {"": ("/", V2)}, {"a/b": v2("max 100000"), "a": v2("200000 100000")}, 2),
        ("0::/a/b", {"": ("/", V2)}, {"a/b": v2("800000 100000"), "a": v2("20000 10000")}, 2),
        ("0::/a/b", {"": ("/", V2)}, {"a/b": v2("200000 100000"), "a": v2("800000 100000")}, 2),
        ("0::/a/b", {"": ("/", V2)}, {"a/c": v2("100000 100000")}, _NO_QUOTA),  # a sibling's
        ("0::/a/b (deleted)", {"": ("/", V2)}, {"a": v2("500000 100000")}, 5),
        ("0::/a:b", {"": ("/", V2)}, {"a:b": v2("500000 100000")}, 5),
        ("4:cpuacct,cpu:/a/b", {"cpu": ("/", V1)}, {"cpu/a": quota(150_000, 50_000)}, 3),
        ("4:cpuset:/a\n5:cpu:/b", {"cpu": ("/", V1)}, {"cpu/a": quota(100_000)}, _NO_QUOTA),
        # A container that sees the host's path, but only its own part of the hierarchy.
        ("4:cpu:/pod/x", {"cpu": ("/pod/x", V1)}, {"cpu": quota(200_000)}, 2),
        ("0::/pod/x/y", {"": ("/pod/x", V2)}, {"y": v2("200000 100000")}, 2),
        ("0::/pod/xy", {"": ("/pod/x", V2)}, {"": v2("200000 100000"), "y": v2("1 1")}, 2),
        # A process that was moved out of its namespace.
        ("0::/../other", {"": ("/", V2)}, {"": v2("300000 100000")}, 3),
        # Both versions side by side, mounted at a path with a blank.
        (
            "4:cpu:/a\n0::/b",
            {"cpu": ("/", V1), "the unified": ("/", V2)},
            {"cpu/a": quota(600_000), "the unified/b": v2("500000 100000")},
            5,
        ),
        ("4:memory:/a", {"memory": ("/", "cgroup cgroup rw,memory")}, {}, _NO_QUOTA),
    ],
)
def test_the_smallest_quota_of_the_cgroups_counts(cgroup, mounts, quotas, processors, tmp_path):
    for folder, files in quotas.items():
        (tmp_path / "sys" / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (tmp_path / "sys" / folder / name).write_text(text)
    (tmp_path / "cgroup").write_text(f"9:name=systemd:/else\n{cgroup}\n")
    lines = ["22 1 8:1 / / rw shared:1 - ext4 /dev/root rw"]
    for mount, (root, kind) in mounts.items():
        where = str(tmp_path / "sys" / mount).replace(" ", "\\040")
        lines.append(f"31 23 0:28 {root} {where} rw,nosuid shared:9 master:2 - {kind}")
    (tmp_path / "mountinfo").write_text("\n".join(lines))
    assert _cgroup_quota(tmp_path) == processors


def test_without_proc_there_is_no_quota(tmp_path):
    assert _cgroup_quota(tmp_path) == _NO_QUOTA


def test_there_is_a_processor():
    assert available_processors() >= 1
