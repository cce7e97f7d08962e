"""Speakers' names, so that one person is one class.

A name can be spelled in several ways that look alike: composed characters (NFC, typed on Linux and
Windows) or decomposed ones (NFD, from macOS), capitals, blanks at the end of a folder's name.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

_INVISIBLE = ("Cc", "Cf", "Zs", "Zl", "Zp")  # blanks, controls, characters without width


def speaker_name(text: str) -> str:
    """A name as a label: in NFC, and as text. Files are still found by the folder's own name."""
    return unicodedata.normalize("NFC", as_text(text))


def as_text(name: str) -> str:
    """Escape the undecodable bytes of a file's name, so that JSON and UTF-8 can hold it."""
    return name.encode("utf-8", "backslashreplace").decode()


def lookalikes(names: Iterable[str]) -> list[list[str]]:
    """Groups of names that differ only in case, in blanks, or in the form of their characters."""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        groups[_key(name)].add(name)
    return [sorted(group) for _, group in sorted(groups.items()) if len(group) > 1]


def is_blank(name: str) -> bool:
    """Whether nothing of a name can be seen."""
    return not _key(name)


def _key(name: str) -> str:
    """What lookalikes share. Not ``casefold``: Strauss and Strauß may be two people."""
    if name.isascii() and name.isprintable():  # the same, a hundred times as fast
        return name.replace(" ", "").lower()
    seen = (c for c in unicodedata.normalize("NFKC", name) if not _is_invisible(c))
    return unicodedata.normalize("NFKC", "".join(seen).lower())


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE
