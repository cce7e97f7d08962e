"""Clips of folders: which names count, in which order, and what cannot be listed."""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path

import pytest

from tests.conftest import write_corpus
from tests.folders import forbid
from voxedge.audio import formats
from voxedge.audio.folders import find, is_skipped

SYSTEM = (
    *("._clip.wav", ".DS_Store", ".hidden.wav", ".git/x.wav", "Thumbs.db", "thumbs.DB"),
    *("ehthumbs.db", "desktop.ini", "Desktop.ini", "Icon\r", "__MACOSX/ada/a.wav"),
    *("@eaDir/a.wav", "$RECYCLE.BIN/a.wav", "System Volume Information/a.wav", "#recycle/a.wav"),
)


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).touch()


def found(root: Path) -> dict[str, str]:
    """Relative paths -> kinds."""
    return {os.path.relpath(each.path, root): each.kind for each in find(str(root))}


def test_a_folder_gives_its_clips_in_the_order_of_their_paths(tmp_path):
    make(tmp_path, "b/1.wav", "b/a.WAV", "b-c.opus", "b.flac", "b/c/2.wav", "a/.wav", "a.mp3")
    make(tmp_path, "notes.txt", "b/clip.wav.bak")
    (tmp_path / "empty.wav").mkdir()
    (tmp_path / "b" / "round").symlink_to(tmp_path)
    (tmp_path / "link.wav").symlink_to(tmp_path / "a.mp3")
    expected = ["a.mp3", "b-c.opus", "b.flac", "b/1.wav", "b/a.WAV", "b/c/2.wav", "link.wav"]
    for root in (str(tmp_path), f"{tmp_path}/"):
        clips = [each.path for each in find(root) if each.kind == "clip"]
        assert clips == [str(tmp_path / name) for name in expected]
    assert expected == sorted(expected)


def test_a_folder_is_listed_while_its_clips_are_used(tmp_path, monkeypatch):
    for folder in "abc":
        write_corpus(tmp_path / folder, clips=1, seconds=0.1)
    listed = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or real(path))
    first = next(find(str(tmp_path)))
    assert first.path == str(tmp_path / "a" / "ada" / "00.wav")
    assert listed == [str(path) for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "ada")]


def test_hidden_files_and_those_of_the_system_are_skipped(tmp_path):
    make(tmp_path, *SYSTEM, "ada/a.wav")
    assert found(tmp_path) == {"ada/a.wav": "clip"}
    assert not is_skipped("thumbs.db.wav")
    assert not is_skipped("desktop")


@pytest.mark.parametrize("has_av", [False, True])
def test_clips_for_pyav_and_other_files_are_told_apart(tmp_path, monkeypatch, has_av):
    monkeypatch.setattr(formats, "has_av", lambda: has_av)
    make(tmp_path, "a.m4a", "b.webm", "c.amr", "d.wav", "e.txt", "f")
    kinds = found(tmp_path)
    expected = "clip" if has_av else "needs_av"
    assert [kinds[name] for name in ("a.m4a", "b.webm", "c.amr")] == [expected] * 3
    assert [kinds[name] for name in ("d.wav", "e.txt", "f")] == ["clip", "other", "other"]


def test_links_to_folders_are_followed_but_never_back(tmp_path):
    make(tmp_path / "elsewhere", "1.wav")
    (tmp_path / "data" / "ada").mkdir(parents=True)
    (tmp_path / "data" / "ben").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "ada" / "up").symlink_to(tmp_path / "data")
    (tmp_path / "elsewhere" / "here").symlink_to(".")
    kinds = found(tmp_path / "data")
    assert kinds == {"ada/up": "empty", "ben/1.wav": "clip", "ben/here": "empty"}


def test_what_cannot_be_listed_is_found_with_the_reason(tmp_path, monkeypatch):
    make(tmp_path, "ada/1.wav", "dora/1.wav")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "lost.wav").symlink_to("nowhere")  # a clip: decoding says what is wrong
    (tmp_path / "empty").mkdir()
    forbid(tmp_path / "dora", monkeypatch)
    assert found(tmp_path) == {
        "ada/1.wav": "clip",
        "dora": "unlisted",
        "empty": "empty",
        "gone": "unlisted",
        "loop": "unlisted",
        "lost.wav": "clip",
    }
    errors = {Path(each.path).name: each.error for each in find(str(tmp_path)) if each.error}
    assert errors["dora"].code == "permission_denied"
    assert errors["gone"].code == "not_found"
    assert "symbolic links" in errors["loop"].message


def test_deep_folders_need_no_deep_calls(tmp_path):
    make(tmp_path, "d/" * 300 + "1.wav")
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(len(inspect.stack()) + 100)
        (only,) = find(str(tmp_path))
    finally:
        sys.setrecursionlimit(limit)
    assert only.path.endswith("d/d/1.wav")
