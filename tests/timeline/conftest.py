"""Conversations of tones that stand for voices, and a detector of speech that hears loud frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import RATE
from tests.gallery.conftest import CALIBRATION, PITCHES, tone, write_spectrum_model
from voxedge.gallery import file
from voxedge.gallery.gallery import Gallery
from voxedge.gallery.people import Contents, EnrolledClip, GalleryModel, Person
from voxedge.inference.identifier import Identifier

FRAME = 512  # samples


class LoudnessDetector:
    """Takes loud frames for speech."""

    def __init__(self) -> None:
        self._held = np.zeros(0, np.float32)

    def feed(self, samples: np.ndarray) -> np.ndarray:
        heard = np.append(self._held, samples)
        count = len(heard) // FRAME
        self._held = heard[count * FRAME :]
        frames = heard[: count * FRAME].reshape(count, FRAME)
        return (np.sqrt(np.mean(frames**2, axis=1)) > 0.01).astype(np.float32)


def talk(*turns: tuple[str, float], pause: float = 0.8) -> np.ndarray:
    """Voices by name, each for some seconds, with pauses before, between and after; [S]."""
    silence = np.zeros(round(pause * RATE), np.float32)
    parts = [silence]
    for number, (name, seconds) in enumerate(turns):
        parts += [tone(PITCHES[name], seconds=seconds, seed=number), silence]
    return np.concatenate(parts)


@pytest.fixture(scope="session")
def spectrum_model(tmp_path_factory) -> Path:
    return write_spectrum_model(tmp_path_factory.mktemp("spectrum") / "spectrum.onnx")


@pytest.fixture(scope="session")
def identifier(spectrum_model) -> Identifier:
    return Identifier(spectrum_model, threads=1)


def write_gallery(path: Path, model: Identifier, *names: str) -> Gallery:
    """A gallery of voices; tones are no speech, so they cannot be enrolled."""
    people = []
    for name in names:
        clips = [(seed, tone(PITCHES[name], seed=seed)) for seed in range(3)]
        embeddings = [scores.embedding for scores in model.score(clips)]
        found = [EnrolledClip(f"{n}.wav", 2.0, 2.0, vector) for n, vector in enumerate(embeddings)]
        people.append(Person(name, tuple(found)))
    described = GalleryModel.of(model.metadata, model.model_file.path.name)
    file.write(path, Contents(described, tuple(people), CALIBRATION))
    return Gallery(path, model)


@pytest.fixture
def loudness(monkeypatch) -> None:
    """Tones pass for speech in every module."""
    monkeypatch.setattr("voxedge.timeline.windows.SpeechDetector", LoudnessDetector)
    monkeypatch.setattr("voxedge.timeline.listening.SpeechDetector", LoudnessDetector)
