"""Conversations of tones that stand for voices, and a detector of speech that hears loud frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import RATE
from tests.gallery.conftest import PITCHES, tone, write_spectrum_model
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


@pytest.fixture
def loudness(monkeypatch) -> None:
    """Tones pass for speech in every module."""
    monkeypatch.setattr("voxedge.timeline.windows.SpeechDetector", LoudnessDetector)
    monkeypatch.setattr("voxedge.timeline.listening.SpeechDetector", LoudnessDetector)
