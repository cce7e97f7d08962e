"""The page of an evaluation: its sections, escaped names, and a device without jinja2."""

from __future__ import annotations

import sys

import pytest

from voxedge.errors import MissingExtra
from voxedge.evaluation.measures import measure
from voxedge.evaluation.page import render


def test_the_page_has_all_sections_and_escapes_names(by_hand):
    evil = '<script>alert("1")</script>\u202e'
    measures = measure(by_hand, {evil: {"ada": evil, "ben": "x"}})
    page = render({"model": evil, "data": "d"}, measures, by_hand.problems)
    assert "<script" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page
    for words in ("66.7 %", "Most often taken for another", "<svg", "torn", "5 to 10 s"):
        assert words in page
    assert "http" not in page.replace("http-equiv", "")  # nothing is loaded


def test_long_tables_are_folded_after_twenty_rows(by_hand):
    measures = measure(by_hand)
    measures["per_speaker"] *= 15
    page = render({}, measures)
    assert "<summary>10 more</summary>" in page
    assert page.count('<td class="left">ben</td>') == 15 + 1 + 1  # and on each side of a confusion


def test_unseen_speakers_have_a_section(by_hand):
    measures = measure(by_hand)
    assert "Unseen speakers" not in render({}, measures)
    interval = {"value": 0.123, "low": 0.1, "high": 0.2}
    measures["verification"] = {
        **{"speakers": 4, "clips": 20, "pairs": 190, "same": 40},
        **{"cosines": {}, "shots": {"5": interval}, "eer": interval, "min_dcf": interval},
    }
    page = " ".join(render({}, measures).split())
    assert "all 190 pairs of clips (40 of one speaker)" in page
    assert "equal error rate 12.3 % [10.0, 20.0], minDCF 0.123 (prior 0.01)." in page
    assert "mean embedding of 5: 12.3 % [10.0, 20.0]." in page


def test_rendering_without_jinja2_names_the_extra(by_hand, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match="jinja2"):
        render({}, measure(by_hand))
