"""Find the clips of a folder: one rule for training, checks, identification and evaluation.

A clip is a file whose name ends like that of an audio format (``audio.formats``). Names that begin
with a dot, and what operating systems leave in folders, are skipped. Links to folders are followed,
except back to a folder that they lie in. Names may hold any bytes, so paths are plain strings.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from voxedge.audio.formats import readability
from voxedge.errors import AudioError, AudioNotFound, PermissionDenied, UnreadableAudio
from voxedge.install import install_command

Kind: TypeAlias = Literal["clip", "needs_av", "other", "empty", "unlisted"]

#: Files and folders of Windows, macOS, and network disks; lower case.
_SYSTEM_NAMES = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
        *("icon\r", "__macosx", "@eadir", "#recycle", "lost+found"),
    }
)
_KINDS: dict[str, Kind] = {"readable": "clip", "needs_av": "needs_av", "not_audio": "other"}


class Found(NamedTuple):
    """A file, a folder without files, or one whose files are not known.

    ``needs_av`` would be a clip if PyAV were installed; ``other`` is not audio by its ending.
    """

    path: str
    kind: Kind
    error: AudioError | None = None  # of ``needs_av`` and ``unlisted``


class _Folder(NamedTuple):
    path: str
    is_link: bool = False


def find(folder: str) -> Iterator[Found]:
    """Yield what is in a folder and in those below, in the order of the paths, as it is listed."""
    levels: list[Iterator[Found | _Folder]] = [iter([_Folder(folder)])]
    above: list[str] = []  # the folders whose contents are ``levels[1:]``
    while levels:
        item = next(levels[-1], None)
        if item is None:
            levels.pop()
            del above[-1:]
        elif isinstance(item, Found):
            yield item
        elif item.is_link and _leads_back(item.path, above):
            yield Found(item.path, "empty")
        else:
            try:
                content = _listed(item.path)
            except OSError as error:
                yield Found(item.path, "unlisted", _reason(error))
                continue
            if not content:
                yield Found(item.path, "empty")
            levels.append(iter(content))
            above.append(item.path)


def is_skipped(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or the operating system's own."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def ending(path: str) -> str:
    """The ending of a file's name, as messages show it."""
    return os.path.splitext(path)[1].lower() or "without an ending"  # noqa: PTH122


@functools.cache
def needs_av() -> AudioError:
    """The error about a clip of a format that only PyAV decodes."""
    return UnreadableAudio("decoded by PyAV, which is not installed", install_command("av"))


def _listed(folder: str) -> list[Found | _Folder]:
    """The content of a folder; folders are sorted as if their names ended with a slash."""
    found: list[tuple[str, Found | _Folder]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_skipped(entry.name):
                item = _item(entry)
                end = os.sep if isinstance(item, _Folder) else ""
                found.append((entry.name + end, item))
    found.sort(key=lambda pair: pair[0])
    return [item for _, item in found]


def _item(entry: os.DirEntry[str]) -> Found | _Folder:
    kind, is_link = _KINDS[readability(entry.name)], entry.is_symlink()
    try:
        if entry.is_dir():
            return _Folder(entry.path, is_link)
        if is_link and kind == "other":  # it may lead to a folder that is not there now
            entry.stat()
    except OSError as error:
        if kind == "other":
            return Found(entry.path, "unlisted", _reason(error))
    return Found(entry.path, kind, needs_av() if kind == "needs_av" else None)


def _leads_back(link: str, above: list[str]) -> bool:
    """Whether a link leads to one of the folders that it lies in."""
    try:
        target = os.stat(link)  # noqa: PTH116
        return any(os.path.samestat(target, os.stat(folder)) for folder in above)  # noqa: PTH116
    except OSError:
        return False


def _reason(error: OSError) -> AudioError:
    if isinstance(error, PermissionError):
        return PermissionDenied("a folder that may not be read", "change its permissions")
    if isinstance(error, FileNotFoundError):
        return AudioNotFound("a link that leads nowhere, or a folder that was deleted")
    return UnreadableAudio(f"a folder that cannot be listed: {error.strerror or error}")
