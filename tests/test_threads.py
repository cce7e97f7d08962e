"""Threads: the processors of this process, and a map that keeps the order."""

from __future__ import annotations

import threading
import time

import pytest

from voxedge.threads import _NO_QUOTA, _cgroup_quota, available_processors, ordered_map


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
    ("files", "processors"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, _NO_QUOTA),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, _NO_QUOTA),
        ({"cpu.max": "100000 0\n"}, _NO_QUOTA),
        ({}, _NO_QUOTA),
    ],
)
def test_the_quota_of_a_cgroup(files, processors, tmp_path):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert _cgroup_quota(tmp_path) == processors


def test_there_is_a_processor():
    assert available_processors() >= 1
