"""Hints name the right distribution, whatever this installation came from."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from voxedge import install
from voxedge.errors import MissingExtra

ROOT = Path(__file__).parents[1]


@pytest.fixture
def recorded(monkeypatch):
    """Pretend that these are the ``direct_url.json`` of the installed distributions."""

    class Installed:
        def __init__(self, record: dict | None) -> None:
            self.record = record

        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return None if self.record is None else json.dumps(self.record)

    def pretend(*records: dict | None) -> None:
        def distributions(name: str) -> list[Installed]:
            assert name == "voxedge-speaker"
            return [Installed(record) for record in records]

        monkeypatch.setattr(metadata, "distributions", distributions)

    return pretend


@pytest.fixture
def in_site_packages(monkeypatch, tmp_path):
    """Pretend that the package lies where pip puts it."""
    monkeypatch.setattr(install, "__file__", str(tmp_path / "site-packages/voxedge/install.py"))


def local(path: Path, **info) -> dict:
    return {"url": path.as_uri(), **info}


def test_an_editable_install_of_a_clone_stays_one(recorded, tmp_path, monkeypatch):
    clone = tmp_path / "my clone"
    clone.mkdir()
    recorded(local(clone, dir_info={"editable": True}))
    assert shlex.split(install.install_command("train")) == [
        *("pip", "install", "-e", f"{clone}[train]")
    ]
    monkeypatch.chdir(clone)
    assert install.install_command("train") == "pip install -e '.[train]'"
    monkeypatch.chdir(tmp_path)
    assert install.install_command("train") == "pip install -e './my clone[train]'"


def test_a_folder_that_was_installed_is_named(recorded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recorded(local(tmp_path, dir_info={}))
    assert install.install_command("cpu") == "pip install '.[cpu]'"


def test_a_build_left_in_a_clone_does_not_hide_the_installation(recorded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recorded(None, local(tmp_path, dir_info={"editable": True}))
    assert install.install_command("train") == "pip install -e '.[train]'"


def test_a_wheel_file_is_named(recorded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wheel = tmp_path / "a folder" / "voxedge_speaker-0.2.0-py3-none-any.whl"
    recorded(local(wheel, archive_info={}))
    command = "pip install './a folder/voxedge_speaker-0.2.0-py3-none-any.whl[cpu]'"
    assert install.install_command("cpu") == command


def test_a_repository_is_named(recorded):
    url = "https://example.org/voxedge.git"
    recorded({"url": url, "vcs_info": {"vcs": "git", "commit_id": "0" * 40}})
    command = f"pip install 'voxedge-speaker[cpu] @ git+{url}'"
    assert install.install_command("cpu") == command


def test_an_install_from_an_index_names_the_distribution(recorded, in_site_packages):
    recorded(None)
    assert install.install_command("cpu") == "pip install 'voxedge-speaker[cpu]'"


def test_without_a_distribution_the_clone_or_else_the_index_is_named(
    recorded, tmp_path, monkeypatch
):
    recorded()
    clone = tmp_path / "clone"
    (clone / "voxedge").mkdir(parents=True)
    (clone / "pyproject.toml").touch()
    monkeypatch.setattr(install, "__file__", str(clone / "voxedge" / "install.py"))
    monkeypatch.chdir(tmp_path)
    assert install.install_command("train") == "pip install -e './clone[train]'"
    (clone / "pyproject.toml").unlink()
    assert install.install_command("train") == "pip install 'voxedge-speaker[train]'"


def test_a_current_folder_that_was_deleted_is_no_obstacle(recorded, tmp_path, monkeypatch):
    recorded(local(tmp_path, dir_info={}))
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert install.install_command("cpu") == f"pip install '{tmp_path}[cpu]'"


def test_this_very_installation_has_a_command():
    """Whatever it is: an editable clone for developers, a wheel in the packaging tests."""
    done = subprocess.run(
        [sys.executable, "-c", "from voxedge.install import *; print(install_command('train'))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    words = shlex.split(done.stdout)
    assert words[:2] == ["pip", "install"]
    assert words[-1].endswith("[train]")


def test_a_missing_module_is_a_missing_extra_unless_it_is_ours(recorded, in_site_packages):
    recorded(None)
    with (
        pytest.raises(MissingExtra, match="this needs no_such_module") as caught,
        install.needs_extra("train"),
    ):
        import no_such_module  # noqa: F401
    assert caught.value.hint == "pip install 'voxedge-speaker[train]'"
    with pytest.raises(ModuleNotFoundError), install.needs_extra("train"):
        import voxedge.no_such_module  # noqa: F401


@pytest.mark.parametrize(
    ("folder", "is_foreign"),
    [
        ("voxedge-0.0.15a4.dist-info", True),
        ("voxedge-0.1.egg-info", True),
        ("voxedge_speaker-0.2.0.dist-info", False),
        ("voxedge_speaker.egg-info", False),
        ("voxedge.egg-info", False),
        ("voxedge-notes", False),
    ],
)
def test_a_distribution_of_our_import_name_is_found(folder, is_foreign, tmp_path, monkeypatch):
    (tmp_path / folder).mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "nowhere"), str(tmp_path)])
    found = install.foreign_distribution()
    assert found == (str(tmp_path / folder) if is_foreign else None)
    if found:
        assert found in install.foreign_warning(found)


#: ``voxedge`` or ``voxedge[extra]`` as a requirement; ``voxedge-speaker`` is another name.
_FOREIGN_REQUIREMENT = re.compile(
    r"""pip\s+install\s[^\n`]*?(?<![\w./-])voxedge(?![\w./-])  # pip install voxedge
    |(?<![\w./-])voxedge\[[a-z]                            # voxedge[cpu], wherever it stands
    """,
    re.VERBOSE,
)
_CHECKED = (
    *("voxedge/", "export/", "bench/", "tests/", "docs/", ".ci/", ".github/"),
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "pyproject.toml"),
)


def test_the_pattern_of_foreign_requirements():
    assert _FOREIGN_REQUIREMENT.search("pip install voxedge")  # the pattern's own example
    assert _FOREIGN_REQUIREMENT.search("pip install --upgrade 'voxedge[cpu]'")
    assert _FOREIGN_REQUIREMENT.search("needs voxedge[tune]")
    assert not _FOREIGN_REQUIREMENT.search("pip install 'voxedge-speaker[cpu]'")
    assert not _FOREIGN_REQUIREMENT.search("pip install './voxedge[cpu]'")
    assert not _FOREIGN_REQUIREMENT.search("pip install ./voxedge_speaker-0.2.0.whl")


def test_no_hint_would_fetch_the_other_project():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git repository")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    found = []
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if not name.startswith(_CHECKED) or path == Path(__file__) or not path.is_file():
            continue
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:  # a model file
            continue
        for number, line in enumerate(lines, 1):
            if _FOREIGN_REQUIREMENT.search(line):
                found.append(f"{name}:{number}: {line.strip()}")
    assert found == []
