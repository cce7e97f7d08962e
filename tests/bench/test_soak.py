"""The soak tells wrong answers and growth from what only fills."""

from __future__ import annotations

import pytest

from bench.soak import Clips, Held, faults, same, slope, soak

RECORD = {
    "path": "-",
    "speaker": "ada",
    "windows": 2,
    "predictions": [{"speaker": "ada", "probability": 0.7}, {"speaker": "ben", "probability": 0.2}],
    "known": 0.9,
}


@pytest.mark.parametrize(
    "changes",
    [
        {"speaker": "ben"},
        {"windows": 3},
        {"known": 0.91},
        {"predictions": RECORD["predictions"][:1]},
        {"predictions": [{"speaker": "ada", "probability": 0.7}] * 2},
        {"predictions": [{"speaker": "ada", "probability": 0.702}, RECORD["predictions"][1]]},
    ],
)
def test_another_answer_is_wrong(changes):
    assert not same(RECORD | changes, RECORD)
    assert not same("unreadable", RECORD)
    assert not same(RECORD, "unreadable")
    assert not same("truncated", "unreadable")


def test_rounding_is_no_other_answer():
    near = [{"speaker": "ada", "probability": 0.7005}, {"speaker": "cleo", "probability": 0.2}]
    assert same(RECORD | {"known": 0.9002, "predictions": near}, RECORD)
    assert same("unreadable", "unreadable")


def test_a_step_is_no_growth_and_growth_is():
    rounds = range(0, 10_000, 200)
    step = [(runs, Held(100.0 + 5.0 * (runs > 4_000), 6, 9)) for runs in rounds]
    leak = [(runs, Held(100.0 + runs / 800, 6, 9)) for runs in rounds]
    assert slope(step) == 0
    assert slope(leak) == pytest.approx(1.25)


def test_what_is_wrong_or_grows_is_said():
    held = iter(range(100))

    def answer(chosen):
        return ["other" if number == 3 else "unreadable" for number in chosen]

    clips = Clips([b""] * 10, ["unreadable"] * 10, 8)
    figures = soak("test", answer, lambda: Held(100.0, next(held), 9), clips, 0.0)
    assert figures["runs"] == 400
    assert 20 < figures["wrong"] < 90
    assert 0 < figures["bad_files"] < 60
    wrong, descriptors = faults(figures)
    assert "of 400 answers are wrong" in wrong
    assert descriptors == "0 to 1 descriptors"
    grown = figures | {"wrong": 0, "descriptors": (6, 6), "mib_per_1000_runs": 2.0}
    assert not list(faults(grown))  # too few runs to tell
    (growth,) = faults(grown | {"runs": 5_000})
    assert "grows" in growth
