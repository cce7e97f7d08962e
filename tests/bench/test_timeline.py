"""Composed conversations, and the diarisation error rates of their answers."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from bench import conversations, timeline
from bench.conversations import Conversation, Turn, compose
from tests.conftest import RATE, voice


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Voices with six clips each, and noises."""
    folder = tmp_path_factory.mktemp("data")
    for number in range(18):
        (folder / "voices" / f"v{number}").mkdir(parents=True)
        for clip in range(6):
            sound = voice(100.0 + 15 * number, 1.5, 10 * number + clip)
            silence = np.zeros(RATE // 2, np.float32)
            path = folder / "voices" / f"v{number}" / f"{clip}.wav"
            soundfile.write(path, np.concatenate([silence, sound, silence]), RATE)
    (folder / "noise").mkdir()
    for number in range(8):
        noise = np.random.default_rng(number).normal(0, 0.05, 3 * RATE)
        soundfile.write(folder / "noise" / f"n{number}.wav", noise, RATE)
    return folder


@pytest.fixture
def composed(data, monkeypatch) -> dict[str, list[Conversation]]:
    monkeypatch.setattr(conversations, "CORPORA", ("voices",))
    monkeypatch.setattr(conversations, "SPEAKERS", (2, 3))
    return {half: list(compose(data, half)) for half in ("chosen", "reported")}


def test_conversations_are_what_their_reference_says(composed):
    for conversation in composed["reported"]:
        clean = composed["reported"][0 if "-2-" in conversation.name else 3].samples
        spoken = np.zeros(len(clean), bool)
        for start, end, _ in conversation.reference:
            spoken[round(start * RATE) : round(end * RATE)] = True
        inside, outside = (float(np.mean(clean[rows] ** 2)) for rows in (spoken, ~spoken))
        assert outside < 0.01 * inside
        assert len({turn.speaker for turn in conversation.reference}) == int(conversation.name[7])


def test_noise_has_the_level_that_is_said(composed):
    clean, _, noisy = composed["reported"][:3]
    assert (clean.snr, noisy.snr) == (None, 10.0)
    scale = np.dot(noisy.samples, clean.samples) / np.dot(clean.samples, clean.samples)
    noise = noisy.samples - scale * clean.samples
    spoken = np.concatenate(
        [clean.samples[round(t.start * RATE) : round(t.end * RATE)] for t in clean.reference]
    )
    ratio = 20 * np.log10(scale * np.std(spoken) / np.std(noise))
    assert ratio == pytest.approx(10.0, abs=1.5)


def test_the_halves_share_no_speaker_and_nothing_is_random(composed, data):
    people = {
        half: {turn.speaker for each in found for turn in each.reference}
        for half, found in composed.items()
    }
    assert not people["chosen"] & people["reported"]
    again = list(compose(data, "chosen"))
    assert all(
        (a.samples == b.samples).all() for a, b in zip(again, composed["chosen"], strict=True)
    )


def test_error_rates_by_hand():
    """Ten seconds of A, then ten of B; a second is missed, one is given to B, one is invented."""
    pytest.importorskip("pyannote.metrics")
    samples = np.zeros(25 * RATE, np.float32)
    reference = (Turn(0.0, 10.0, "A"), Turn(10.0, 20.0, "B"))
    conversation = Conversation("x", samples, reference, None)
    answer = [Turn(1.0, 9.0, "one"), Turn(9.0, 20.0, "two"), Turn(22.0, 23.0, "two")]
    found = timeline._score(conversation, answer, 0.5)
    assert found["total"]["0"] == 20.0
    parts = [found[key]["0"] for key in ("missed", "false_alarm", "confusion")]
    assert parts == [1.0, 1.0, 1.0]
    # Without 0.25 s on each side of 0, 10 and 20 s.
    assert found["total"]["0.25"] == 19.0
    parts = [found[key]["0.25"] for key in ("missed", "false_alarm", "confusion")]
    assert parts == [0.75, 1.0, 0.75]
    lines = list(timeline.table({"system": {"x": found}}))
    assert lines[2] == "| system | none | **13.2** | 3.9 | 5.3 | 3.9 | 15.0 | 1 of 1 | 50 |"
