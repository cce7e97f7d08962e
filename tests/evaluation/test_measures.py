from __future__ import annotations

import pytest

from voxedge.errors import CorpusError
from voxedge.evaluation.answers import Evaluation
from voxedge.evaluation.conditions import CLEAN
from voxedge.evaluation.measures import measure, read_groups


def test_accuracy_and_calibration_by_hand(by_hand):
    measures = measure(by_hand)
    clean = measures["conditions"][CLEAN]
    assert (measures["clips"], measures["speakers"], clean["clips"]) == (9, 2, 9)
    assert clean["top1"]["value"] == pytest.approx(6 / 9)
    assert clean["top5"]["value"] == pytest.approx(8 / 9)
    assert clean["top1"]["low"] <= 1 / 3 + 1e-9  # clusters are speakers: only ben drawn twice
    gaps = 7 * abs(5 / 7 - 0.8) + 0.5 + 0
    assert clean["calibration_error"] == pytest.approx(gaps / 9)
    assert sum(row["clips"] for row in clean["reliability"]) == 9
    assert len(clean["reliability"]) == 15


def test_groups_and_confusions_by_hand(by_hand):
    measures = measure(by_hand, {"age": {"ada": "9 to 12", "ben": "2 to 8"}, "x": {"eve": "y"}})
    assert set(measures["groups"]) == {"age"}  # nobody known has an x
    assert measures["confusions"] == [
        {"speaker": "ben", "answer": "ada", "clips": 2, "of": 3},
        {"speaker": "ada", "answer": "ben", "clips": 1, "of": 6},
    ]
    assert [row["name"] for row in measures["per_speaker"]] == ["ben", "ada"]
    seconds = [(row["name"], row["clips"]) for row in measures["by_seconds"]]
    assert seconds == [("2 to 3 s", 8), ("5 to 10 s", 1)]
    assert [(row["name"], row["clips"]) for row in measures["by_windows"]] == [("1", 8), ("4", 1)]
    ages = [(row["name"], row["top1"]["value"]) for row in measures["groups"]["age"]]
    assert ages == [("2 to 8", pytest.approx(1 / 3)), ("9 to 12", pytest.approx(5 / 6))]
    unknown = {"clips": 1, "speakers": 1, "mean_probability": pytest.approx(0.9)}
    assert measures["strangers"] == unknown


def test_a_model_that_knows_no_speaker_is_an_error(by_hand):
    unknown = Evaluation({}, (CLEAN,), tuple(by_hand.unknown))
    with pytest.raises(CorpusError, match="knows none of the 1 speakers"):
        measure(unknown)


def test_groups_from_a_csv(tmp_path):
    path = tmp_path / "speakers.csv"
    lines = [f"s{n:02d},known,{n},{'m' if n % 2 else 'f'},note {n}" for n in range(20)]
    path.write_text("\n".join(["speaker,group,age,gender,note", *lines, "s99,known,,m,"]))
    groups = read_groups(path)
    assert set(groups) == {"age", "gender"}  # all are known, and no two have the same note
    assert set(groups["gender"].values()) == {"m", "f"}
    assert sorted(set(groups["age"].values())) == ["0 to 4", "10 to 14", "15 to 19", "5 to 9"]
    assert "s99" not in groups["age"]
    path.write_text(path.read_text().replace(",", ";").replace("speaker", "Speaker"), "utf-16")
    assert read_groups(path) == groups
    path.write_text("name,age\na,3\n")
    with pytest.raises(CorpusError, match="column speaker"):
        read_groups(path)
