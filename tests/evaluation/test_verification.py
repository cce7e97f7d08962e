from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE
from voxedge.data.manifest import Clip
from voxedge.errors import CorpusError
from voxedge.evaluation.verification import verify
from voxedge.inference.scoring import Outputs, score_clips


class Listener:
    """A model whose embedding is a direction that follows from pitch, blurred by noise."""

    labels = ("known",)
    sample_rate = RATE

    def __init__(self, blur: float) -> None:
        self.blur, self.random = blur, np.random.default_rng(0)

    def score(self, clips):
        return score_clips(clips, self.run, 2 * RATE, 4)

    def run(self, batch):
        spectrum = np.abs(np.fft.rfft(batch.pcm, axis=1))[:, : 2 * 400]
        turns = spectrum.argmax(axis=1) / 400 * np.pi
        angle = turns + self.random.normal(0, self.blur, len(turns))
        embedding = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
        return Outputs(embedding, np.ones((len(batch.pcm), 1), np.float32), embedding)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    folder = tmp_path_factory.mktemp("strangers")
    made = []
    for speaker, pitch in {"a": 100, "b": 160, "c": 230, "d": 320}.items():
        for number in range(5):
            path = folder / f"{speaker}{number}.wav"
            hertz = pitch * (1 + 0.01 * number)
            tone = 0.3 * np.sin(2 * np.pi * hertz / RATE * np.arange(2 * RATE))
            soundfile.write(path, tone, RATE)
            made.append(Clip(path, path.name, speaker))
    return made


def test_separate_speakers_have_no_errors_and_blurred_ones_do(clips):
    sharp, blurred = verify(Listener(0.0), clips), verify(Listener(0.4), clips)
    assert (sharp["speakers"], sharp["clips"], sharp["pairs"], sharp["same"]) == (4, 20, 190, 40)
    assert sharp["eer"]["value"] <= 0.1
    assert blurred["eer"]["value"] > sharp["eer"]["value"] + 0.05
    for found in (sharp, blurred):
        for figure in (found["eer"], found["min_dcf"]):
            assert 0 <= figure["low"] <= figure["high"] <= 1


def test_strangers_are_named_after_a_few_clips(clips):
    sharp, blurred = verify(Listener(0.0), clips), verify(Listener(0.4), clips)
    assert set(sharp["shots"]) == {"1"}  # five clips each leave none to judge by after five
    assert sharp["shots"]["1"]["value"] == 1.0
    assert 0.25 < blurred["shots"]["1"]["value"] < 1.0
    assert sharp["cosines"]["same"]["mean"] > 0.99 > blurred["cosines"]["same"]["mean"]
    assert sharp["cosines"]["different"]["mean"] < 0.8


def test_who_has_too_few_clips_is_no_candidate_among_those_who_have_enough(clips):
    ten_and_five = [*clips, *(clip for clip in clips if clip.speaker != "d")]
    sharp, blurred = verify(Listener(0.0), ten_and_five), verify(Listener(0.4), ten_and_five)
    assert set(sharp["shots"]) == {"1", "5"}
    assert sharp["shots"]["5"]["value"] == 1.0
    assert blurred["shots"]["5"]["value"] > blurred["shots"]["1"]["value"] > 0.25


def test_clips_that_cannot_be_read_are_left_out(clips, tmp_path):
    broken = Clip(tmp_path / "none.wav", "none.wav", "a")
    assert verify(Listener(0.0), [*clips, broken])["clips"] == 20


def test_speakers_must_be_unseen_and_two(clips):
    with pytest.raises(CorpusError, match="trained on known"):
        verify(Listener(0.0), [Clip(Path("x.wav"), "x.wav", "known"), *clips])
    with pytest.raises(CorpusError, match="two speakers"):
        verify(Listener(0.0), clips[:5])
