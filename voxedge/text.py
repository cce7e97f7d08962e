"""Make text safe to print: names come from folders and model files that others made."""

from __future__ import annotations

import unicodedata

_ESCAPED = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format (bidi), undecodable, line breaks


def printable(text: str, limit: int = 200) -> str:
    """Escape the characters that could control a terminal, and cut at ``limit`` characters."""
    shown = "".join(
        c if unicodedata.category(c) not in _ESCAPED else f"\\u{ord(c):04x}" for c in text[:limit]
    )
    return shown + "…" if len(text) > limit else shown
