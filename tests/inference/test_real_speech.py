"""Train, export and identify real speech: the accuracy is what training measured."""

from __future__ import annotations

import json

import pytest

from tests.conftest import voxedge
from voxedge.train.run import find_run


@pytest.fixture(scope="module")
def trained(real_speech, tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    (folder / "data").symlink_to(real_speech / "speechocean762" / "known")
    flags = ["--speakers", "5", "--init", "base", "--epochs", "1"]
    train = voxedge("train", *flags, cwd=folder)
    assert train.returncode == 0, train.stderr
    assert "5 speakers, 80 clips" in train.stderr
    export = voxedge("export", cwd=folder)
    assert export.returncode == 0, export.stderr
    return folder


def test_the_base_network_tells_five_speakers_apart(trained):
    assert find_run(trained / "runs").metrics()["test"]["top1"]["value"] > 0.6  # chance: a fifth


def test_identify_is_right_exactly_where_training_said_so(trained):
    run = find_run(trained / "runs")
    tested = [clip for clip in run.manifest().clips if clip.split == "test"]
    done = voxedge("identify", "--json", *(clip.source for clip in tested), cwd=trained)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line)["speaker"] for line in done.stdout.splitlines()]
    right = sum(name == clip.speaker for name, clip in zip(answers, tested, strict=True))
    assert right / len(tested) == pytest.approx(run.metrics()["test"]["top1"]["value"])
    assert len(tested) == run.metrics()["test"]["clips"]
