"""Names that look alike."""

from __future__ import annotations

import unicodedata

import pytest

from voxedge.names import is_blank, lookalikes, speaker_name

NFD = unicodedata.normalize("NFD", "José")


def test_a_label_is_composed_and_holds_no_undecodable_bytes():
    assert speaker_name(NFD) == "José"
    assert speaker_name("José") == "José"
    assert speaker_name("caf\udce9") == "caf\\udce9"
    assert speaker_name(" ann ") == " ann "  # nothing else changes


@pytest.mark.parametrize(
    "pair",
    [
        ("Ann", "ann"),
        ("ann", "ann "),
        ("ann", " ann"),
        ("ann lee", "annlee"),
        ("ann lee", "ann  lee"),
        ("ann", "ann\u00a0"),
        ("ann", "ann\u200b"),
        ("ann", "\ufeffann"),
        ("ÉMILE", "émile"),
        ("１", "1"),  # full width  # noqa: RUF001
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
    ],
)
def test_names_that_look_alike_are_found(pair):
    assert lookalikes([*pair, "ben"]) == [sorted(pair)]


@pytest.mark.parametrize(
    "pair",
    [("ann", "anna"), ("Strauss", "Strauß"), ("ann_lee", "ann-lee"), ("jose", "josé"), ("o", "0")],
)
def test_names_of_two_people_are_left_alone(pair):
    assert lookalikes(pair) == []


def test_a_name_of_blanks_cannot_be_seen():
    assert is_blank(" \u200b\u3000")
    assert is_blank("")
    assert not is_blank(" a ")
