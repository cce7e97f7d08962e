"""Every case of bad input, faults and attacks: what is owed to the user, and tests that hold it.

``cases.csv`` lists them, and docs/security.md shows them. A test is named by its file below tests/
(without a folder: in this one), its function and, of many, its parameter: ``x.py::test_y[z]``.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple


class Case(NamedTuple):
    """One case."""

    title: str
    outcome: str
    tests: tuple[str, ...]


def read_cases() -> dict[str, list[Case]]:
    """The cases by their groups, in order."""
    groups: dict[str, list[Case]] = {}
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            case = Case(row["case"], row["outcome"], tuple(row["tests"].split("; ")))
            groups.setdefault(row["group"], []).append(case)
    return groups
