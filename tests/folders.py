"""Folders that may not be read, whoever runs the tests."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest


def forbid(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the permission to read a folder; for root, who may read everything, pretend to."""
    if os.geteuid():
        folder.chmod(0)
        return
    real = os.scandir

    def scandir(path: str | int) -> object:
        if not isinstance(path, int) and Path(path) == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
