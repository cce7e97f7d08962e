"""Lists of pairs, as VoxCeleb1-O is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voxedge.data.clips import Clip
from voxedge.data.trials import Trial, read_trials
from voxedge.errors import CorpusError
from voxedge.evaluation.trials import clips_of, verify_trials
from voxedge.inference.scoring import ClipScores


class Angles:
    """A model whose embeddings are given: a clip's name is its angle in degrees."""

    labels = ("known",)
    sample_rate = 16_000

    def score(self, pairs):
        for name, _ in pairs:
            degrees = name.removesuffix(".wav")
            turn = np.deg2rad(float(degrees) if degrees.isdecimal() else 0.0)
            vector = np.array([np.cos(turn), np.sin(turn)], np.float32)
            yield ClipScores(name, 1, embedding=vector)


def test_error_rates_are_those_of_the_cosines(tmp_path, clips):
    listed = tmp_path / "trials.txt"
    listed.write_text(
        "1 0.wav 10.wav\n1 0.wav 40.wav\n\n1 90.wav 95.wav\n"
        "0 0.wav 30.wav\n0 90.wav 150.wav\n0 90.wav 180.wav\n0 0.wav 90.wav\n"
    )
    trials = read_trials(listed)
    assert trials[0] == Trial(True, "0.wav", "10.wav")
    names = sorted({name for trial in trials for name in trial[1:]})
    corpus = [Clip(clips[0].source, name, name[:1]) for name in [*names, "unused.wav"]]
    own = clips_of(trials, corpus)
    assert [clip.name for clip in own] == names
    found = verify_trials(Angles(), trials, own)
    degrees = (10, 40, 5, 30, 60, 90, 90)
    np.testing.assert_allclose(found.scores, np.cos(np.deg2rad(degrees)), atol=1e-6)
    # Accepting 30 degrees and less misses one of three and accepts one of four.
    assert found.measures["eer"]["value"] == pytest.approx((1 / 3 + 1 / 4) / 2)
    # Accepting 10 degrees and less: 0.01 of one third, normalised by 0.01.
    assert found.measures["min_dcf"]["value"] == pytest.approx(1 / 3)
    counts = {key: found.measures[key] for key in ("trials", "same", "clips", "speakers")}
    assert counts == {"trials": 7, "same": 3, "clips": 8, "speakers": 5}


def test_the_whole_list_or_nothing(tmp_path, clips):
    trials = [Trial(True, "ada/00.wav", "ada/01.wav"), Trial(False, "ada/00.wav", "gone.wav")]
    with pytest.raises(CorpusError, match=r"1 of the 3 clips .*: gone.wav .*--data D/wav"):
        clips_of(trials, clips)
    gone = Clip(tmp_path / "gone.wav", "gone.wav", "b")
    with pytest.raises(CorpusError, match=r"gone.wav: no such file"):
        verify_trials(Angles(), trials, clips_of(trials, [*clips, gone]))
    trained_on = Clip(Path("gone.wav"), "gone.wav", "known")
    with pytest.raises(CorpusError, match="trained on known"):
        verify_trials(Angles(), trials, clips_of(trials, [*clips, trained_on]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 a b\n", "line 1: '2 a b' is no trial"),
        ("1 a b\n0 a\n", "line 2: '0 a' is no trial"),
        ("1 a b\n", "needs trials of one voice and trials of two"),
    ],
)
def test_malformed_lists_are_refused(tmp_path, text, message):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(CorpusError, match=message):
        read_trials(tmp_path / "t.txt")
    with pytest.raises(CorpusError, match="cannot be read"):
        read_trials(tmp_path / "none.txt")
