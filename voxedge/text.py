"""Text from files, made safe to print: names come from folders and model files of strangers."""

from __future__ import annotations

import unicodedata

_ESCAPED = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format (bidi), undecodable, line breaks


def printable(text: str, limit: int = 200) -> str:
    """Text without characters that could steer a terminal, cut at ``limit`` characters."""
    shown = "".join(
        c if unicodedata.category(c) not in _ESCAPED else f"\\u{ord(c):04x}" for c in text[:limit]
    )
    return shown + "…" if len(text) > limit else shown
