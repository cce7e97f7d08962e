from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import fftconvolve

from tests.conftest import RATE, voice
from voxedge.data import sounds
from voxedge.errors import CorpusError, UsageError
from voxedge.evaluation import conditions as stress
from voxedge.evaluation.conditions import (
    CONDITIONS,
    Environment,
    active_power,
    choose_conditions,
    reverberate,
)


@pytest.fixture(scope="module")
def clip():
    return np.pad(voice(110, 3, 1), RATE)


@pytest.fixture(scope="module")
def surroundings():
    random = np.random.default_rng(0)
    noises = [random.normal(0, 0.1, 2 * RATE).astype(np.float32) for _ in range(3)]
    decay = np.exp(-np.arange(RATE // 4) / 800) * random.normal(0, 0.1, RATE // 4)
    room = np.concatenate([np.zeros(40), [1.0], decay]).astype(np.float32)
    return Environment(noises, [room])


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_is_a_function_of_the_samples(name, clip, surroundings):
    kept = clip.copy()
    once = CONDITIONS[name](clip, RATE, surroundings)
    assert np.array_equal(once, CONDITIONS[name](clip.copy(), RATE, surroundings))
    assert np.array_equal(clip, kept)
    assert once.dtype == np.float32
    assert np.abs(once).max() <= 1
    seconds = float(name[3:]) if name.startswith("cut") else 5
    assert len(once) == seconds * RATE


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100])
def test_conditions_work_at_other_rates_and_on_short_clips(rate, surroundings):
    sound = voice(150, 0.2, 2)
    for condition in CONDITIONS.values():
        assert len(condition(sound, rate, surroundings)) == len(sound)


@pytest.mark.parametrize("level", [20, 10, 5, 0])
def test_noise_stands_below_the_speech_by_so_much(level, clip, surroundings):
    noisy = CONDITIONS[f"noise{level}"](clip, RATE, surroundings)
    scale = np.vdot(clip, noisy) / np.vdot(clip, clip)  # undo a rescaling at full scale
    noise = noisy / scale - clip
    ratio = active_power(clip, RATE) / np.mean(noise**2)
    assert 10 * np.log10(ratio) == pytest.approx(level, abs=0.5)


def test_levels_of_noise_share_the_noise_and_cuts_the_place(clip, surroundings):
    loud, soft = (CONDITIONS[n](clip, RATE, surroundings) - clip for n in ("noise10", "noise20"))
    assert np.corrcoef(loud, soft)[0, 1] > 0.999


def test_pauses_do_not_count_as_speech(clip):
    assert active_power(clip, RATE) == pytest.approx(active_power(clip[RATE:-RATE], RATE), rel=0.01)


def test_a_room_is_the_convolution_in_time_and_of_equal_energy(clip, surroundings, monkeypatch):
    (room,) = surroundings.rooms
    clip = clip[RATE:-RATE]
    monkeypatch.setattr(stress, "_BLOCK", 7_000)
    wet = reverberate(clip, room)
    expected = fftconvolve(clip, room)[40 : 40 + len(clip)]
    expected *= np.linalg.norm(clip) / np.linalg.norm(expected)
    assert wet == pytest.approx(expected, abs=1e-4)
    assert np.linalg.norm(wet) == pytest.approx(np.linalg.norm(clip), rel=1e-4)


def test_gain_clips_and_rounds_like_a_recorder(clip):
    loud, soft = (CONDITIONS[name](clip, RATE, Environment()) for name in ("gain+20", "gain-20"))
    assert np.abs(loud).max() == 1
    assert np.mean(np.abs(loud) > 0.999) > 0.01
    assert soft == pytest.approx(clip / 10, abs=1 / 65_536)
    assert np.array_equal(soft * 32_768, np.rint(soft * 32_768))


def test_the_telephone_takes_the_highs_and_the_lows():
    time = np.arange(2 * RATE) / RATE
    kept = {}
    for hertz in (100, 1_000, 3_000, 3_800, 5_000):
        tone = (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)
        heard = CONDITIONS["telephone"](tone, RATE, Environment())
        kept[hertz] = np.linalg.norm(heard) / np.linalg.norm(tone)
    assert kept[1_000] == pytest.approx(1, abs=0.05)
    assert kept[3_000] == pytest.approx(1, abs=0.05)
    assert max(kept[100], kept[3_800], kept[5_000]) < 0.05


@pytest.mark.parametrize(
    ("name", "arguments", "kilobits"),
    [("opus12", ("OGG", "OPUS"), 12), ("mp332", ("MP3", "MPEG_LAYER_III"), 32)],
)
def test_codecs_keep_the_time_and_their_bit_rate(name, arguments, kilobits, monkeypatch):
    sizes = []
    encode = stress._encoded
    monkeypatch.setattr(
        stress, "_encoded", lambda *given: sizes.append(len(done := encode(*given))) or done
    )
    sound = voice(110, 6, 1)
    heard = CONDITIONS[name](sound, RATE, Environment())
    assert sizes[0] * 8 / 6 / 1000 == pytest.approx(kilobits, rel=0.1)
    spectra = np.fft.rfft(sound), np.fft.rfft(heard)
    delay = int(np.argmax(np.fft.irfft(spectra[1] * np.conj(spectra[0]))))
    assert delay == 0
    assert np.corrcoef(sound, heard)[0, 1] > 0.8


def test_a_cut_prefers_speech(clip):
    for seconds in (3, 2, 1, 0.5):
        piece = CONDITIONS[f"cut{seconds:g}"](clip, RATE, Environment())
        assert np.mean(piece == 0) < 0.4
    assert len(CONDITIONS["cut3"](clip[: 2 * RATE], RATE, Environment())) == 2 * RATE


def test_halves_are_disjoint_and_do_not_jump():
    paths = [Path(f"{number}.wav") for number in range(200)]
    both = sounds.halves(paths)
    assert sorted(both["training"] + both["evaluation"]) == sorted(paths)
    assert 70 < len(both["training"]) < 130
    fewer = sounds.halves(paths[::3])
    assert set(fewer["evaluation"]) <= set(both["evaluation"])


def test_a_recording_and_a_room_are_not_divided(tmp_path):
    for name in ("rain__1-7-A", "rain__1-7-B", "rain__1-8-A", "rain__2-9-A", "rain__3-1-A"):
        soundfile.write(tmp_path / f"{name}.wav", voice(110, 0.5, 1), RATE)
    paths = list(tmp_path.glob("*.wav"))
    for half in sounds.halves(paths, sounds._recording).values():
        names = {path.stem for path in half}
        assert ("rain__1-7-A" in names) == ("rain__1-7-B" in names)
    assert [len(half) for half in sounds.halves(paths, sounds._room).values()].count(0) == 1


def test_the_shared_noises_and_rooms(real_speech):
    for half in ("training", "evaluation"):
        assert len(sounds.load_noises(real_speech / "noise" / "misc", RATE, half)) >= 2
        assert len(sounds.load_rooms(real_speech / "rir", RATE, half)) >= 8


def test_conditions_are_chosen_by_name_and_by_what_there_is(surroundings):
    everything, missing = choose_conditions("all", surroundings)
    assert [c.name for c in everything] == list(CONDITIONS)
    assert missing == []
    some, missing = choose_conditions("room,noise5,opus12", Environment())
    assert [c.name for c in some] == ["opus12"]
    assert missing == ["room", "noise5"]
    assert choose_conditions("none", surroundings) == ([], [])
    with pytest.raises(UsageError, match="no condition 'fog'"):
        choose_conditions("fog", surroundings)
    with pytest.raises(CorpusError, match="no folder"):
        sounds.load_noises(Path("nowhere"), RATE, "training")


@pytest.mark.parametrize("load", [sounds.load_noises, sounds.load_rooms])
def test_a_folder_of_silence_is_refused(tmp_path, load):
    for number in range(16):
        soundfile.write(tmp_path / f"{number}__a.wav", np.zeros(8_000, np.float32), 16_000)
    with pytest.raises(CorpusError, match="nothing but silence"):
        load(tmp_path, 16_000, "training")


@pytest.mark.parametrize("load", [sounds.load_noises, sounds.load_rooms])
def test_a_dry_room_and_a_click_are_not_too_short(tmp_path, load):
    ringing = np.exp(-np.arange(800) / 80).astype(np.float32)
    for number in range(16):
        soundfile.write(tmp_path / f"{number}__a.wav", ringing, RATE)
    for half in ("training", "evaluation"):
        sounds = load(tmp_path, RATE, half)
        assert len(sounds) > 2
        for sound in sounds:
            np.testing.assert_allclose(sound[:80], ringing[:80], atol=1e-3)
