"""Write files so that none is ever incomplete: temporary name, fsync, rename; and lock them.

A process that is killed while it writes to a plain ``open(path, "wb")`` leaves half a file under
the name of a whole one.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

_POLL = 0.02  # seconds between two attempts to lock a file


@contextmanager
def atomic_write(path: Path, like: Path | None = None) -> Iterator[IO[bytes]]:
    """Yield a binary file that becomes ``path`` when the block ends without an exception.

    After an exception the old file is as it was, and the temporary one is deleted.

    Args:
        path: the file.
        like: of files that not everybody may read: group and permissions are taken from this file,
            often ``path`` itself; where it is missing, the owner alone may read and write.

    Raises:
        OSError: the folder is missing or read-only, or the disk is full.
    """
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    except OSError as error:  # with the name that the caller knows, not the temporary one
        raise type(error)(error.errno, error.strerror, str(path)) from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(_public_mode() if like is None else _mode_of(like, temporary))
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


def _public_mode() -> int:
    """What the umask says: mkstemp's 0600 would lock out other users."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _mode_of(like: Path, temporary: str) -> int:
    """The permissions of ``like``, whose group the temporary file gets; 0600 without it."""
    try:
        found = like.stat()
        os.chown(temporary, -1, found.st_gid)
    except OSError:  # there is no such file, or its group is not one of this user's
        return 0o600
    return stat.S_IMODE(found.st_mode) & 0o666


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Hold the right to replace a file, against all who ask for it in this way.

    What is locked is an empty file next to it, ``.NAME.lock``: the file itself is replaced by
    another. It is deleted at the end, so who has waited for it looks whether it is still there.

    Args:
        path: the file, which need not exist.
        seconds: to wait for.

    Raises:
        TimeoutError: another process has held it for so long.
        OSError: the folder is missing or read-only.
    """
    import fcntl

    name = path.with_name(f".{path.name}.lock")
    end = time.monotonic() + seconds
    while True:
        with name.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = _is_at(name, os.fstat(file.fileno()))
            except BlockingIOError:
                held = False
            if held:
                try:
                    yield
                finally:
                    name.unlink(missing_ok=True)
                return
        if time.monotonic() > end:
            raise TimeoutError(f"another process holds {path.name}")
        time.sleep(_POLL)


def _is_at(name: Path, opened: os.stat_result) -> bool:
    """Whether the file that was opened still has its name."""
    try:
        return os.path.samestat(name.stat(), opened)
    except FileNotFoundError:
        return False


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; undecodable file names in it keep their bytes."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - anything that JSON can hold
    """Write a value as indented JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))  # \\udcff is valid JSON
