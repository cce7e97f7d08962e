from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE
from voxedge.data.clips import Clip
from voxedge.errors import CorpusError
from voxedge.evaluation.verification import verify
from voxedge.inference.scoring import Outputs, score_clips


class PitchEmbedding:
    """A model whose embedding is a direction that depends on the pitch, plus noise."""

    labels = ("known",)
    sample_rate = RATE

    def __init__(self, noise: float) -> None:
        self.noise, self.random = noise, np.random.default_rng(0)

    def score(self, clips):
        return score_clips(clips, self.run, 2 * RATE, RATE, 4)

    def run(self, batch):
        spectrum = np.abs(np.fft.rfft(batch.pcm, axis=1))[:, : 2 * 400]
        turns = spectrum.argmax(axis=1) / 400 * np.pi
        angle = turns + self.random.normal(0, self.noise, len(turns))
        embedding = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
        return Outputs(embedding, np.ones((len(batch.pcm), 1), np.float32), embedding)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    folder = tmp_path_factory.mktemp("unseen")
    clips = []
    for speaker, pitch in {"a": 100, "b": 160, "c": 230, "d": 320}.items():
        for number in range(5):
            path = folder / f"{speaker}{number}.wav"
            hertz = pitch * (1 + 0.01 * number)
            tone = 0.3 * np.sin(2 * np.pi * hertz / RATE * np.arange(2 * RATE))
            soundfile.write(path, tone, RATE)
            clips.append(Clip(path, path.name, speaker))
    return clips


def test_separate_speakers_have_no_errors_and_noisy_embeddings_do(clips):
    exact, noisy = verify(PitchEmbedding(0.0), clips), verify(PitchEmbedding(0.4), clips)
    assert (exact["speakers"], exact["clips"], exact["pairs"], exact["same"]) == (4, 20, 190, 40)
    assert exact["eer"]["value"] <= 0.1
    assert noisy["eer"]["value"] > exact["eer"]["value"] + 0.05
    for found in (exact, noisy):
        for figure in (found["eer"], found["min_dcf"]):
            assert 0 <= figure["low"] <= figure["high"] <= 1


def test_unseen_speakers_are_identified_from_a_few_clips(clips):
    exact, noisy = verify(PitchEmbedding(0.0), clips), verify(PitchEmbedding(0.4), clips)
    assert set(exact["shots"]) == {"1"}  # with five clips each, none is left after five shots
    assert exact["shots"]["1"]["value"] == 1.0
    assert 0.25 < noisy["shots"]["1"]["value"] < 1.0
    assert exact["cosines"]["same"]["mean"] > 0.99 > noisy["cosines"]["same"]["mean"]
    assert exact["cosines"]["different"]["mean"] < 0.8


def test_speakers_with_too_few_clips_are_not_candidates(clips):
    ten_and_five = [*clips, *(clip for clip in clips if clip.speaker != "d")]
    exact, noisy = (
        verify(PitchEmbedding(0.0), ten_and_five),
        verify(PitchEmbedding(0.4), ten_and_five),
    )
    assert set(exact["shots"]) == {"1", "5"}
    assert exact["shots"]["5"]["value"] == 1.0
    assert noisy["shots"]["5"]["value"] > noisy["shots"]["1"]["value"] > 0.25


def test_clips_that_cannot_be_read_are_left_out(clips, tmp_path):
    broken = Clip(tmp_path / "none.wav", "none.wav", "a")
    assert verify(PitchEmbedding(0.0), [*clips, broken])["clips"] == 20


def test_speakers_must_be_unseen_and_two(clips):
    with pytest.raises(CorpusError, match="trained on known"):
        verify(PitchEmbedding(0.0), [Clip(Path("x.wav"), "x.wav", "known"), *clips])
    with pytest.raises(CorpusError, match="two speakers"):
        verify(PitchEmbedding(0.0), clips[:5])
