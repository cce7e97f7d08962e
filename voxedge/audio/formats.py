"""Which files are audio by the ending of their names, for finding clips in folders.

What a file really holds is decided by its first bytes (``audio.load``), whatever its name.
"""

from __future__ import annotations

import functools
import os
from typing import Literal, TypeAlias

Readability: TypeAlias = Literal["readable", "needs_av", "not_audio"]

#: Endings of the formats that are always decoded.
SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("wav", "wave", "bwf", "flac", "ogg", "oga", "opus", "mp3", "mp2", "aif", "aiff", "aifc"),
        *("au", "snd", "caf", "w64", "rf64", "bw64", "voc", "sph", "nist"),
    )
)

#: Endings of the formats that are decoded where the extra ``av`` (PyAV) is installed.
AV_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("m4a", "m4b", "m4r", "mp4", "m4v", "mov", "qt", "3gp", "3gpp", "3g2"),
        *("webm", "weba", "mka", "mkv", "avi", "wma", "asf", "wmv", "amr", "awb"),
        *("aac", "adts", "ac3", "eac3", "ec3", "spx", "wv", "tta"),
    )
)


def readability(name: str | os.PathLike[str]) -> Readability:
    """Whether a file of this name is a clip: ``needs_av`` if it would be one with the extra ``av``.

    The hint to those without it is ``voxedge.install.install_command("av")``.
    """
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - names may hold any bytes
    if suffix in SUFFIXES:
        return "readable"
    if suffix not in AV_SUFFIXES:
        return "not_audio"
    return "readable" if has_av() else "needs_av"


@functools.cache
def has_av() -> bool:
    """Whether PyAV is installed; it is not loaded."""
    from importlib.util import find_spec

    return find_spec("av") is not None
