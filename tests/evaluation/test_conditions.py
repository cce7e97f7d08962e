from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.signal import fftconvolve

from tests.conftest import RATE, voice
from voxedge.errors import UsageError
from voxedge.evaluation import conditions
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
def environment():
    random = np.random.default_rng(0)
    noises = [random.normal(0, 0.1, 2 * RATE).astype(np.float32) for _ in range(3)]
    decay = np.exp(-np.arange(RATE // 4) / 800) * random.normal(0, 0.1, RATE // 4)
    room = np.concatenate([np.zeros(40), [1.0], decay]).astype(np.float32)
    return Environment(noises, [room])


def with_pauses(name: str, samples: float) -> float:
    """The length of a clip under a condition that is not a cut."""
    percent = re.match(r"(?:pause|background)(\d+)", name)
    return samples / (1 - int(percent[1]) / 100) if percent else samples


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_is_a_function_of_the_samples(name, clip, environment):
    kept = clip.copy()
    once = CONDITIONS[name](clip, RATE, environment)
    assert np.array_equal(once, CONDITIONS[name](clip.copy(), RATE, environment))
    assert np.array_equal(clip, kept)
    assert once.dtype == np.float32
    assert np.abs(once).max() <= 1
    seconds = float(name[3:]) if name.startswith("cut") else 5
    assert len(once) == round(with_pauses(name, seconds * RATE))


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100])
def test_conditions_work_at_other_rates_and_on_short_clips(rate, environment):
    sound = voice(150, 0.2, 2)
    for name, condition in CONDITIONS.items():
        assert len(condition(sound, rate, environment)) == round(with_pauses(name, len(sound)))


@pytest.mark.parametrize("level", [20, 10, 5, 0])
def test_noise_has_the_stated_signal_to_noise_ratio(level, clip, environment):
    noisy = CONDITIONS[f"noise{level}"](clip, RATE, environment)
    scale = np.vdot(clip, noisy) / np.vdot(clip, clip)  # undo a rescaling at full scale
    noise = noisy / scale - clip
    ratio = active_power(clip, RATE) / np.mean(noise**2)
    assert 10 * np.log10(ratio) == pytest.approx(level, abs=0.5)


def test_all_levels_use_the_same_noise_for_a_clip(clip, environment):
    loud, soft = (CONDITIONS[n](clip, RATE, environment) - clip for n in ("noise10", "noise20"))
    assert np.corrcoef(loud, soft)[0, 1] > 0.999


def test_pauses_do_not_count_as_speech(clip):
    assert active_power(clip, RATE) == pytest.approx(active_power(clip[RATE:-RATE], RATE), rel=0.01)


def test_a_room_is_a_convolution_of_equal_timing_and_energy(clip, environment, monkeypatch):
    (room,) = environment.rooms
    clip = clip[RATE:-RATE]
    monkeypatch.setattr(conditions, "_BLOCK", 7_000)
    wet = reverberate(clip, room)
    expected = fftconvolve(clip, room)[40 : 40 + len(clip)]
    expected *= np.linalg.norm(clip) / np.linalg.norm(expected)
    assert wet == pytest.approx(expected, abs=1e-4)
    assert np.linalg.norm(wet) == pytest.approx(np.linalg.norm(clip), rel=1e-4)


def test_gain_clips_and_rounds_to_16_bits(clip):
    loud, soft = (CONDITIONS[name](clip, RATE, Environment()) for name in ("gain+20", "gain-20"))
    assert np.abs(loud).max() == 1
    assert np.mean(np.abs(loud) > 0.999) > 0.01
    assert soft == pytest.approx(clip / 10, abs=1 / 65_536)
    assert np.array_equal(soft * 32_768, np.rint(soft * 32_768))


def test_the_telephone_removes_high_and_low_frequencies():
    time = np.arange(2 * RATE) / RATE
    kept = {}
    for hertz in (100, 1_000, 3_000, 3_800, 5_000):
        tone = (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)
        filtered = CONDITIONS["telephone"](tone, RATE, Environment())
        kept[hertz] = np.linalg.norm(filtered) / np.linalg.norm(tone)
    assert kept[1_000] == pytest.approx(1, abs=0.05)
    assert kept[3_000] == pytest.approx(1, abs=0.05)
    assert max(kept[100], kept[3_800], kept[5_000]) < 0.05


@pytest.mark.parametrize(
    ("name", "arguments", "kilobits"),
    [("opus12", ("OGG", "OPUS"), 12), ("mp332", ("MP3", "MPEG_LAYER_III"), 32)],
)
def test_codecs_have_no_delay_and_the_stated_bit_rate(name, arguments, kilobits, monkeypatch):
    sizes = []
    encode = conditions._encoded
    monkeypatch.setattr(
        conditions, "_encoded", lambda *given: sizes.append(len(done := encode(*given))) or done
    )
    sound = voice(110, 6, 1)
    decoded = CONDITIONS[name](sound, RATE, Environment())
    assert sizes[0] * 8 / 6 / 1000 == pytest.approx(kilobits, rel=0.1)
    spectra = np.fft.rfft(sound), np.fft.rfft(decoded)
    delay = int(np.argmax(np.fft.irfft(spectra[1] * np.conj(spectra[0]))))
    assert delay == 0
    assert np.corrcoef(sound, decoded)[0, 1] > 0.8


def test_a_cut_prefers_speech(clip):
    for seconds in (3, 2, 1, 0.5):
        segment = CONDITIONS[f"cut{seconds:g}"](clip, RATE, Environment())
        assert np.mean(segment == 0) < 0.4
    assert len(CONDITIONS["cut3"](clip[: 2 * RATE], RATE, Environment())) == 2 * RATE


def background_clip() -> np.ndarray:
    """Five seconds of speech in hiss at -50 dBFS, with a pause that is quieter than the others."""
    sound = np.pad(voice(110, 3, 1), RATE)
    sound += np.random.default_rng(3).normal(0, 10**-2.5, len(sound)).astype(np.float32)
    sound[: RATE // 2] *= 0.5
    return sound


def place_of(sound: np.ndarray, longer: np.ndarray) -> int:
    """Where a sound begins in a longer one."""
    return int(np.argmax(fftconvolve(longer, sound[::-1], "valid")))


@pytest.mark.parametrize("percent", [50, 80, 91])
def test_pauses_hold_hiss_and_the_clip(percent):
    sound = background_clip()
    paused = CONDITIONS[f"pause{percent}"](sound, RATE, Environment())
    start = place_of(sound, paused)
    hiss = paused.copy()
    hiss[start : start + len(sound)] -= sound
    assert np.sqrt(np.mean(hiss[:start] ** 2)) == pytest.approx(10 ** (-75 / 20), rel=0.05)
    assert np.sqrt(np.mean(hiss**2)) == pytest.approx(10 ** (-75 / 20), rel=0.05)


@pytest.mark.parametrize("percent", [50, 80, 91])
def test_background_pauses_hold_the_quietest_part_of_the_clip(percent):
    sound = background_clip()
    paused = CONDITIONS[f"background{percent}"](sound, RATE, Environment())
    start = place_of(sound, paused)
    assert np.array_equal(paused[start : start + len(sound)], sound)
    around = np.append(paused[:start], paused[start + len(sound) :])
    assert np.sqrt(np.mean(around**2)) == pytest.approx(0.5 * 10**-2.5, rel=0.05)
    assert np.isin(around, sound).all()


def test_all_pauses_of_a_clip_are_divided_alike():
    sound = background_clip()
    shares = []
    for kind in ("pause", "background"):
        for percent in (50, 80, 91):
            paused = CONDITIONS[f"{kind}{percent}"](sound, RATE, Environment())
            start = place_of(sound, paused)
            shares.append(start / (len(paused) - len(sound)))
    assert shares == pytest.approx([shares[0]] * 6, abs=1e-3)


def test_the_pauses_of_a_long_clip_are_limited(monkeypatch):
    monkeypatch.setattr(conditions, "_LONGEST_PAUSE", 4)
    for kind in ("pause", "background"):
        paused = CONDITIONS[f"{kind}91"](background_clip(), RATE, Environment())
        assert len(paused) == 9 * RATE


def test_conditions_are_chosen_by_name_and_by_what_is_available(environment):
    everything, missing = choose_conditions("all", environment)
    assert [c.name for c in everything] == list(CONDITIONS)
    assert missing == []
    some, missing = choose_conditions("room,noise5,opus12", Environment())
    assert [c.name for c in some] == ["opus12"]
    assert missing == ["room", "noise5"]
    assert choose_conditions("none", environment) == ([], [])
    with pytest.raises(UsageError, match="no condition 'fog'"):
        choose_conditions("fog", environment)
