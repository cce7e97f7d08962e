"""Text of others is escaped before it is printed."""

from __future__ import annotations

import pytest

from voxedge.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe 模型 😀", "Größe 模型 😀"),
        ("\x1b[2J", r"\u001b[2J"),
        ("a\nb\tc\x7f", r"a\u000ab\u0009c\u007f"),
        ("right \u202eto left", r"right \u202eto left"),
        ("two\u2028lines", r"two\u2028lines"),
        ("not utf-8 \udcff", r"not utf-8 \udcff"),
    ],
)
def test_what_could_control_a_terminal_is_escaped(text, shown):
    assert printable(text) == shown


def test_long_text_is_cut():
    assert printable("x" * 30, 10) == "x" * 10 + "…"
    assert printable("x" * 10, 10) == "x" * 10
