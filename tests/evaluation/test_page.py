"""The page of an evaluation: its sections, escaped names, and a device without jinja2."""

from __future__ import annotations

import sys

import pytest

from voxedge.errors import MissingExtra
from voxedge.evaluation.measures import measure
from voxedge.evaluation.page import _probit_place, render


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


def test_strangers_have_a_table_and_curves(by_hand):
    def interval(value):
        return {"value": value, "low": value - 0.01, "high": value + 0.01}

    rates = {"threshold": 1.5, "dir": interval(0.91), "far": interval(0.07), "frr": interval(0.08)}
    curve = [
        {"far": 0.0, "dir": 0.5, "frr": 0.5},
        {"far": 0.1, "dir": 0.75, "frr": 0.1},
        {"far": 1.0, "dir": 1.0, "frr": 0.0},
    ]
    row = {
        "by_file": {"0.1": rates, "0.01": None},
        "by_unseen": {"0.1": rates, "0.01": None},
        "oscr_area": interval(0.87),
        "curve": curve,
    }
    measures = measure(by_hand)
    assert "Strangers" not in render({}, measures)
    measures["open_set"] = {
        **{"clips": 300, "speakers": 20, "unseen_clips": 60, "unseen_speakers": 6},
        **{"score": "log_odds", "conditions": {"clean": row, "<noise>": row}},
    }
    page = " ".join(render({}, measures).split())
    assert "60 clips of the 6 unseen people among 300 clips of the 20 speakers" in page
    assert "<td>91.0 % [90.0, 92.0]</td> <td>7.0 % [6.0, 8.0]</td>" in page
    assert "too few clips" in page
    assert "area 0.870 [0.860, 0.880]" in page
    # FAR 0.1 % and below is at the left, 10 % at two thirds, 100 % at the right; DIR upwards.
    assert page.count('<polyline points="0.0,60.0 80.0,30.0 120.0,0.0"/>') == 2
    assert "&lt;noise&gt;" in page
    measures["open_set"]["conditions"]["clean"] = row | {"by_file": {}}
    measures["open_set"]["score"] = "best_logit"
    page = " ".join(render({}, measures).split())
    assert "thresholds of the file" not in page
    assert "told apart by the best logit" in page


def test_the_axes_of_a_det_plot_are_normal_deviates():
    places = [_probit_place(rate) for rate in (0.0, 0.001, 0.1, 0.5, 0.9, 1.0)]
    assert places[0] == places[1] == 0
    assert places[4] == places[5] == 1
    low, high = -3.0902, 1.2816  # deviates of 0.1 and 90 %
    assert places[2] == pytest.approx((-1.2816 - low) / (high - low), abs=1e-4)
    assert places[3] == pytest.approx((0 - low) / (high - low), abs=1e-4)


def test_rendering_without_jinja2_names_the_extra(by_hand, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match="jinja2"):
        render({}, measure(by_hand))
