"""The table of cases names tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.faults.cases import read_cases

CASES = read_cases()
TESTS = Path(__file__).parents[1]
NAMED = sorted({test for group in CASES.values() for case in group for test in case.tests})


@cache
def contents(file: str) -> tuple[set[str], set[str]]:
    """The test functions of a file and its strings, which parameters are named by."""
    path = TESTS / file if "/" in file else TESTS / "faults" / file
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    return functions, {value for value in constants if isinstance(value, str)}


@pytest.mark.parametrize("test", NAMED)
def test_every_test_that_a_case_names_exists(test):
    found = re.fullmatch(r"([\w/]+\.py)::(test_\w+)(?:\[(.+)\])?", test)
    assert found is not None
    file, name, parameter = found.groups()
    functions, strings = contents(file)
    assert name in functions
    assert parameter is None or parameter in strings or parameter.startswith("0x")


def test_every_case_has_a_test_and_stands_there_once():
    for group, cases in CASES.items():
        titles = [case.title for case in cases]
        assert len(set(titles)) == len(titles), group
        assert all(case.tests and case.outcome for case in cases), group


def test_every_module_of_faults_is_in_the_table():
    used = {test.split("::")[0] for test in NAMED}
    here = {path.name for path in Path(__file__).parent.glob("test_*.py")}
    assert here - used == {Path(__file__).name}


def test_the_links_of_the_document_lead_to_tests_of_these_names():
    document = (TESTS.parent / "docs" / "security.md").read_text(encoding="utf-8")
    links = re.findall(r"\[([^\]]+)\]\(\.\./tests/([\w/]+\.py)\)", document)
    assert len(links) > 100
    for words, file in links:
        assert f"test_{words.replace(' ', '_')}" in contents(file)[0], words
