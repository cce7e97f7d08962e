"""What the wheel is made of: the same bytes every time, no code from data, known licences."""

from __future__ import annotations

import ast
import email
import hashlib
import json
import re
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.carried import CARRIED, PERMISSIVE
from tests.packaging.wheels import ROOT, build_wheel
from voxedge import base

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

_EVALUATES = {"eval", "exec", "compile", "__import__", "breakpoint"}
_UNPICKLES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
_SHELLS = {"system", "popen", "getoutput", "getstatusoutput"}


def test_two_builds_are_the_same_file(wheel, tmp_path):
    again = build_wheel(tmp_path, changed=1_500_000_000.0)
    assert (
        hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(wheel.read_bytes()).digest()
    )


def test_nothing_in_the_wheel_makes_code_of_data(wheel):
    archive = zipfile.ZipFile(wheel)
    found = [
        f"{name}, line {line}: {what}"
        for name in archive.namelist()
        if name.endswith(".py")
        for line, what in code_of_data(ast.parse(archive.read(name)))
    ]
    assert not found


def code_of_data(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Where a module evaluates text, unpickles, or asks a shell."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names]
            if bad := _UNPICKLES & {name.partition(".")[0] for name in names}:
                yield node.lineno, f"imports {bad}"
        elif isinstance(node, ast.Call) and (what := _as_code(node)):
            yield node.lineno, what


def _as_code(call: ast.Call) -> str | None:
    """A call that makes code of data, in words."""
    called = call.func
    name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
    given = {word.arg: word.value for word in call.keywords}
    is_plain = isinstance(called, ast.Name) and name in _EVALUATES
    is_shell = name in _SHELLS and ast.unparse(called).startswith(("os.", "subprocess."))
    if is_plain or is_shell:
        return ast.unparse(called)
    for word in ("shell", "allow_pickle"):
        if word in given and ast.unparse(given[word]) != "False":
            return f"{name} with {word}"
    if name == "load" and ast.unparse(called) == "torch.load":
        safe = "weights_only" in given and ast.unparse(given["weights_only"]) == "True"
        return None if safe else "torch.load without weights_only=True"
    return None


@pytest.mark.parametrize(
    "code",
    [
        "eval(text)",
        "exec(text)",
        "import pickle",
        "from dill import loads",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=given)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "subprocess.run(line, shell=True)",
        "os.system(line)",
    ],
)
def test_code_of_data_is_found(code):
    assert list(code_of_data(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "net.eval()",
        "re.compile(text)",
        "np.load(path)",
        "np.savez(path, allow_pickle=False)",
        "torch.load(path, weights_only=True)",
        "subprocess.run(['ls'])",
    ],
)
def test_what_only_looks_like_it_is_let_through(code):
    assert not list(code_of_data(ast.parse(code)))


def test_what_others_made_is_listed_with_its_licence(wheel):
    archive = zipfile.ZipFile(wheel)
    names = set(archive.namelist())
    (about,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    fields = email.message_from_bytes(archive.read(about))
    licences = {"Apache-2.0", *(part.licence for part in CARRIED)}
    assert set(fields["License-Expression"].split(" AND ")) == licences
    texts = {Path(name).name for name in fields.get_all("License-File")}
    assert texts == {"LICENSE", *(Path(part.text).name for part in CARRIED)}
    for part in CARRIED:
        assert {part.text, *part.files} <= names
        assert "MIT License" in archive.read(part.text).decode()
    carried = {name for part in CARRIED for name in part.files}
    binary = {name for name in names if not _is_text(archive.read(name))}
    ours = {f"voxedge/base/{path.name}" for path in (base.MODEL, base.WEIGHTS)}  # by ``make base``
    assert ours <= binary
    assert binary - ours <= carried  # whatever else is not text was made elsewhere


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def test_the_page_is_built_of_packages_with_known_licences():
    lock = json.loads((ROOT / "voxedge/web/source/package-lock.json").read_text())
    shipped = {
        name.removeprefix("node_modules/"): about
        for name, about in lock["packages"].items()
        if not about.get("dev")
    }
    assert {about["license"] for about in shipped.values()} <= PERMISSIVE
    (runtime,) = (part for part in CARRIED if part.name == "onnxruntime-web")
    assert shipped["onnxruntime-web"]["version"] == runtime.version


def test_every_dependency_has_a_least_version_and_a_pinned_one():
    extras = PROJECT["optional-dependencies"]
    needed = [*PROJECT["dependencies"], *(each for extra in extras.values() for each in extra)]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {normal(line.partition("==")[0]) for line in lines if "==" in line}
    for requirement in needed:
        name, bound = re.match(r"([\w.-]+)(?:\[.*?\])?(.*)", requirement).groups()
        if name == PROJECT["name"]:  # its own extras
            continue
        assert bound.startswith(">="), f"{requirement} has no least version"
        if name != "onnxruntime-gpu":  # in place of onnxruntime
            assert normal(name) in pinned, f"{name} is not in constraints.txt"


def normal(name: str) -> str:
    """A distribution's name, normalised (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
