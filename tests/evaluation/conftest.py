"""A hand-made model that identifies the voices of ``tests.conftest``, and hand-made answers."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import RATE, SPEAKERS, write_corpus
from voxedge.data.manifest import read_manifest
from voxedge.evaluation.answers import Answer, Evaluation, Record, ask
from voxedge.evaluation.conditions import CLEAN, CONDITIONS
from voxedge.inference.scoring import Outputs, score_clips
from voxedge.metrics import softmax


class PitchModel:
    """Compares the energy at the harmonics of every speaker's pitch."""

    sample_rate = RATE

    def __init__(self, labels=tuple(SPEAKERS), sharpness=40.0):
        self.labels = labels
        self.sharpness = sharpness
        self.batches = 0

    def score(self, clips):
        return score_clips(clips, self._run, RATE, RATE, 8)

    def _run(self, batch):
        self.batches += 1
        power = np.abs(np.fft.rfft(batch.pcm, RATE)) ** 2  # a bin is a hertz
        share = np.stack(
            [
                sum(
                    power[:, round(h * SPEAKERS[name]) + d] for h in (1, 2, 3) for d in range(-6, 7)
                )
                for name in self.labels
            ],
            axis=1,
        )
        logits = self.sharpness * share / share.sum(axis=1, keepdims=True)
        return Outputs(logits, softmax(logits), np.eye(len(batch.pcm), 4))


@pytest.fixture(scope="package")
def corpus(tmp_path_factory):
    """Four voices, four clips each; one clip broken, one silent."""
    folder = write_corpus(tmp_path_factory.mktemp("evaluated") / "data", clips=4)
    (folder / "ada" / "broken.wav").write_bytes(b"nothing")
    (folder / "ben" / "silent.wav").write_bytes((folder / "ben" / "00.wav").read_bytes()[:44])
    return folder


@pytest.fixture(scope="package")
def clips(corpus):
    return read_manifest(corpus).clips


@pytest.fixture(scope="package")
def evaluation(clips):
    """Of a model that was not trained on dan."""
    model = PitchModel(("ada", "ben", "cleo"))
    conditions = [CONDITIONS["gain-20"], CONDITIONS["cut0.5"]]
    return ask(model, clips, conditions, subject={"model": "pitch", "data": "voices"})


def record(number, speaker, rank, given, probability=0.8, seconds=2.5, windows=1, known=True):
    predictions = ((given, probability),) if given else ()
    answers = {CLEAN: Answer(rank, windows, predictions)}
    return Record(f"{number}.wav", speaker, seconds, f"{number:x}", known, answers)


@pytest.fixture
def by_hand():
    """Six clips of ada, one taken for ben; three of ben, two taken for ada; one of an unknown."""
    records = [record(n, "ada", 0, "ada") for n in range(5)]
    records += [record(5, "ada", 5, "ben", 0.5, seconds=7, windows=4)]
    records += [
        record(6, "ben", 0, "ben", 1.0),
        record(7, "ben", 1, "ada"),
        record(8, "ben", 1, "ada"),
    ]
    records += [record(9, "eve", 9, "ada", 0.9, known=False)]
    problems = ({"path": "x.wav", "code": "unreadable", "message": "torn"},)
    return Evaluation({"model": "m"}, (CLEAN,), tuple(records), problems)
