from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.conftest import record
from voxedge.errors import CorpusError, UsageError
from voxedge.evaluation.answers import Answer, Evaluation
from voxedge.evaluation.compare import Contestant, compare, markdown, read_contestant
from voxedge.evaluation.conditions import CLEAN


def evaluation(hits, speakers=20):
    """Clips in turn of ``speakers``; ``hits`` says which are right."""
    records = tuple(
        record(n, f"s{n % speakers}", 0 if hit else 1, f"s{n % speakers}" if hit else "other")
        for n, hit in enumerate(hits)
    )
    return Evaluation({}, (CLEAN,), records)


@pytest.fixture
def hits():
    return np.random.default_rng(0).random(200) < 0.8


def test_paired_differences_are_significant_where_intervals_overlap(hits):
    better = hits.copy()
    better[np.flatnonzero(~hits)[::4]] = True
    result = compare([Contestant("a", (evaluation(hits),)), Contestant("b", (evaluation(better),))])
    first, second = result["conditions"][CLEAN]
    assert first["top1"]["high"] > second["top1"]["low"]  # they overlap
    found = second["difference"]["top1"]
    assert found["value"] == pytest.approx(better.mean() - hits.mean())
    assert found["verdict"] == "better"
    assert second["errors_ratio"] == pytest.approx((1 - better.mean()) / (1 - hits.mean()))
    assert second["difference"]["top5"]["verdict"] == "no difference"


def test_chance_is_no_difference_and_the_order_changes_only_the_sign(hits):
    other = np.random.default_rng(1).permutation(hits)
    a, b = Contestant("a", (evaluation(hits),)), Contestant("b", (evaluation(other),))
    forth = compare([a, b])["conditions"][CLEAN][1]["difference"]["top1"]
    back = compare([b, a])["conditions"][CLEAN][1]["difference"]["top1"]
    assert forth["verdict"] == back["verdict"] == "no difference"
    assert (forth["low"], forth["high"]) == pytest.approx((-back["high"], -back["low"]))


def test_members_are_averaged_clip_by_clip(hits):
    group = Contestant("three", tuple(evaluation(np.roll(hits, n)) for n in range(3)))
    row = compare([Contestant("one", (evaluation(hits),)), group])["conditions"][CLEAN][1]
    assert row["top1"]["value"] == pytest.approx(hits.mean())
    assert row["members_top1"] == pytest.approx([hits.mean()] * 3)


def test_clips_that_are_not_shared_are_left_out(hits):
    whole, part = evaluation(hits), evaluation(hits)
    part = replace(part, records=part.records[:150])
    result = compare([Contestant("a", (whole,)), Contestant("b", (part,))])
    assert (result["clips"], result["left_out"]) == (150, 50)
    assert result["conditions"][CLEAN][1]["difference"]["top1"]["value"] == 0
    none = replace(part, records=())
    with pytest.raises(CorpusError, match="no clip in common"):
        compare([Contestant("a", (whole,)), Contestant("b", (none,))])
    with pytest.raises(UsageError, match="two are needed"):
        compare([Contestant("a", (whole,))])


def test_contestants_are_read_from_runs_folders_and_files(tmp_path, hits):
    for name in ("one", "two"):
        (tmp_path / name / "evaluation").mkdir(parents=True)
        evaluation(hits).write(tmp_path / name / "evaluation" / "evaluation.json", {})
    evaluation(hits).write(tmp_path / "rival.json", {})
    alone = read_contestant(str(tmp_path / "one"))
    assert (alone.name, len(alone.members)) == ("one", 1)
    both = read_contestant(f"both={tmp_path / 'one'},{tmp_path / 'two' / 'evaluation'}")
    assert (both.name, len(both.members)) == ("both", 2)
    assert read_contestant(f"{tmp_path / 'one'},{tmp_path / 'two'}").name == "one and 1 more"
    assert read_contestant(str(tmp_path / "rival.json")).name == "rival"
    (tmp_path / "one" / "evaluation").rename(tmp_path / "one" / "evaluation-validation")
    assert read_contestant(str(tmp_path / "one" / "evaluation-validation")).name == "one"
    (tmp_path / "one" / "evaluation-validation").rename(tmp_path / "one" / "evaluation")
    (tmp_path / "two" / "evaluation").rename(tmp_path / "small-evaluation-validation")
    assert read_contestant(str(tmp_path / "small-evaluation-validation")).name == "small"
    (tmp_path / "small-evaluation-validation").rename(tmp_path / "small-evaluation")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "latest").symlink_to(tmp_path / "one")
    assert read_contestant(str(tmp_path / "runs")).name == "one"
    (tmp_path / "small.onnx").touch()
    (tmp_path / "other.onnx").touch()
    with pytest.raises(CorpusError) as refused:
        read_contestant(str(tmp_path / "other.onnx"))
    assert refused.value.hint.endswith(f"--model {tmp_path / 'other.onnx'}")
    assert read_contestant(str(tmp_path / "small.onnx")).name == "small"
    with pytest.raises(CorpusError, match="holds no evaluation"):
        read_contestant(str(tmp_path))
    with pytest.raises(UsageError, match="names no run"):
        read_contestant(",")


def test_the_markdown_has_no_more_columns_than_rows(hits):
    one, two = (Contestant(name, (evaluation(hits),)) for name in ("one", "two"))
    rows = markdown(compare([one, two])).splitlines()
    assert rows[0] == "| top-1 % | clean |"
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| one", "| two"]
    assert "no difference" in rows[3]
    result = compare([one, two])
    result["conditions"] |= dict.fromkeys(("gain-20", "cut1"), result["conditions"][CLEAN])
    rows = markdown(result).splitlines()
    assert rows[0] == "| top-1 % | one | two |"
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| clean", "| gain-20", "| cut1"]


@pytest.mark.parametrize("conditions", [2, 3])
def test_every_cell_of_the_markdown_belongs_to_its_contestant_and_condition(conditions):
    contestants, names = [], ("clean", "gain-20", "cut1")[:conditions]
    for number in range(3):
        answers = [
            {name: Answer(int(n < 3 * number + at), 1, ()) for at, name in enumerate(names)}
            for n in range(20)  # so many of which are wrong
        ]
        records = tuple(
            replace(record(n, f"s{n}", 0, ""), answers=a) for n, a in enumerate(answers)
        )
        contestants.append(Contestant(f"n{number}", (Evaluation({}, names, records),)))
    rows = [row.strip("| ").split(" | ") for row in markdown(compare(contestants)).splitlines()]
    cells = {
        (frozenset((row[0], column)), cell.split(" ")[0])
        for row in rows[2:]
        for column, cell in zip(rows[0][1:], row[1:], strict=True)
    }
    wrong = {(n, at): 3 * n + at for n in range(3) for at in range(conditions)}
    assert cells == {
        (frozenset((f"n{n}", names[at])), f"{100 - 5 * count:.1f}")
        for (n, at), count in wrong.items()
    }
