from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, voice
from voxedge.audio import formats
from voxedge.data import sounds
from voxedge.errors import CorpusError


def test_halves_are_disjoint_and_stable():
    paths = [Path(f"{number}.wav") for number in range(200)]
    both = sounds.halves(paths)
    assert sorted(both["training"] + both["evaluation"]) == sorted(paths)
    assert 70 < len(both["training"]) < 130
    fewer = sounds.halves(paths[::3])
    assert set(fewer["evaluation"]) <= set(both["evaluation"])


def test_recordings_and_rooms_are_not_divided(tmp_path):
    for name in ("rain__1-7-A", "rain__1-7-B", "rain__1-8-A", "rain__2-9-A", "rain__3-1-A"):
        soundfile.write(tmp_path / f"{name}.wav", voice(110, 0.5, 1), RATE)
    paths = list(tmp_path.glob("*.wav"))
    for half in sounds.halves(paths, sounds._recording).values():
        names = {path.stem for path in half}
        assert ("rain__1-7-A" in names) == ("rain__1-7-B" in names)
    assert [len(half) for half in sounds.halves(paths, sounds._room).values()].count(0) == 1


def test_the_halves_of_real_noises_and_rooms(real_speech):
    for half in ("training", "evaluation"):
        assert len(sounds.load_noises(real_speech / "noise" / "misc", RATE, half)) >= 2
        assert len(sounds.load_rooms(real_speech / "rir", RATE, half)) >= 8


def test_a_missing_folder_is_refused():
    with pytest.raises(CorpusError, match="no folder"):
        sounds.load_noises(Path("nowhere"), RATE, "training")


@pytest.mark.parametrize("load", [sounds.load_noises, sounds.load_rooms])
def test_a_folder_of_silence_is_refused(tmp_path, load):
    for number in range(16):
        soundfile.write(tmp_path / f"{number}__a.wav", np.zeros(8_000, np.float32), 16_000)
    with pytest.raises(CorpusError, match="nothing but silence"):
        load(tmp_path, 16_000, "training")


@pytest.mark.parametrize("load", [sounds.load_noises, sounds.load_rooms])
def test_very_short_sounds_are_accepted(tmp_path, load):
    response = np.exp(-np.arange(800) / 80).astype(np.float32)
    for number in range(16):
        soundfile.write(tmp_path / f"{number}__a.wav", response, RATE)
    for half in ("training", "evaluation"):
        loaded = load(tmp_path, RATE, half)
        assert len(loaded) > 2
        for sound in loaded:
            np.testing.assert_allclose(sound[:80], response[:80], atol=1e-3)


def test_files_of_the_system_are_no_sounds_and_unreadable_ones_are_named(tmp_path, monkeypatch):
    for number in range(16):
        soundfile.write(tmp_path / f"{number}.wav", voice(110, 0.5, number), RATE)
        (tmp_path / f"._{number}.wav").write_bytes(b"x")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    halves = [sounds.load_noises(tmp_path, RATE, half) for half in ("training", "evaluation")]
    assert sum(map(len, halves)) == 16
    monkeypatch.setattr(formats, "has_av", lambda: False)
    (tmp_path / "rain.m4a").write_bytes(b"x")
    with pytest.raises(CorpusError, match=r"rain\.m4a: decoded by PyAV, which is not installed"):
        sounds.load_noises(tmp_path, RATE, "training")
