"""Clips that are one take, and clips that are not."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, voice, write_corpus
from voxedge.data.corpus import load_corpus
from voxedge.data.manifest import read_manifest
from voxedge.data.near_duplicates import Take, envelope, near_duplicates

TWO = {"anna": 110.0, "ben": 150.0}


def take(name: str, samples: np.ndarray, file_rate: int = RATE) -> Take:
    samples = samples.astype(np.float32)
    seconds = len(samples) / RATE
    return Take(name, seconds, file_rate, envelope(samples, RATE), lambda: samples)


def spoken(seconds: float = 2.0, seed: int = 0, words: int = 7) -> np.ndarray:
    """A voice in bursts, as words are; the same ``words`` have the same rhythm."""
    rhythm = np.random.default_rng(words).uniform(0, 1, round(seconds * 8) + 1)
    gain = np.repeat(np.where(rhythm > 0.4, rhythm, 0.01), RATE // 8)
    sound = voice(110, seconds, seed)
    return sound * gain[: len(sound)]


COPIES = {
    "quieter": lambda x: 0.05 * x,
    "inverted": lambda x: -x,
    "later": lambda x: np.pad(x, (1_500, 300)),
    "noise": lambda x: x + 0.1 * x.std() * np.random.default_rng(1).standard_normal(len(x)),
    "low pass": lambda x: np.convolve(x, np.hanning(9) / 4, "same"),
    "8 bit": lambda x: np.round(x * 127) / 127,
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_of_a_take_is_found_under_any_name(kind):
    x = spoken()
    takes = [take("a.wav", x), take("other.wav", spoken(seed=5)), take("b.wav", COPIES[kind](x))]
    assert near_duplicates(takes, RATE) == [(0, 2)]


@pytest.mark.parametrize("encoding", ["MP3", "VORBIS", "OPUS", "GSM610", "ULAW"])
def test_the_same_take_in_another_format_is_left_out(tmp_path, encoding):
    root = write_corpus(tmp_path / "data", clips=3, speakers=TWO)
    x = spoken()
    soundfile.write(root / "anna" / "take.wav", x, RATE)
    where, kind = {"MP3": ("take.mp3", "MP3"), "GSM610": ("gsm.wav", "WAV")}.get(
        encoding, (f"{encoding}.wav", "WAV") if encoding == "ULAW" else ("z.ogg", "OGG")
    )
    rate = 8_000 if encoding == "GSM610" else RATE
    subtype = "MPEG_LAYER_III" if encoding == "MP3" else encoding
    soundfile.write(root / "anna" / where, x[:: RATE // rate], rate, format=kind, subtype=subtype)
    corpus = load_corpus(read_manifest(root), RATE)
    ((name, code, message),) = [(p.clip.name, p.code, p.message) for p in corpus.problems]
    best = "take.wav" if where != "ULAW.wav" else "ULAW.wav"  # the first of two lossless names
    assert {name, f"anna/{best}"} == {"anna/take.wav", f"anna/{where}"}
    assert code == "duplicate"
    assert message == f"nearly the same audio as anna/{best}"


def test_the_better_format_is_kept_then_the_higher_rate_then_the_first():
    x = spoken()
    names = ["a.mp3", "b.ogg", "c.flac", "d.wav", "e.wav"]
    rates = [48_000, RATE, RATE, 44_100, 44_100]
    takes = [take(name, x * (1 + n / 9), rates[n]) for n, name in enumerate(names)]
    assert sorted(near_duplicates(takes, RATE)) == [(3, 0), (3, 1), (3, 2), (3, 4)]


def test_the_same_words_said_twice_are_two_clips():
    takes = [take(f"{n}.wav", spoken(seed=n, words=3)) for n in range(6)]
    assert near_duplicates(takes, RATE) == []


def test_the_same_name_in_two_formats_is_no_copy_if_the_sound_is_another():
    takes = [take("day1/1.wav", spoken(seed=1)), take("day2/1.mp3", spoken(seed=2))]
    assert near_duplicates(takes, RATE) == []


@pytest.mark.parametrize("name", ["1.mp3", "day2/1.ogg", "1.wav.mp3", "1.WAV.m4a"])
def test_of_two_files_with_one_name_a_shorter_copy_is_found(name):
    x = spoken(3.0)
    cut = x[RATE // 4 : -RATE // 2]  # another export of it, without the ends
    assert near_duplicates([take("1.wav", x), take(name, cut)], RATE) == [(0, 1)]
    assert near_duplicates([take("1.wav", x), take("2.wav", cut)], RATE) == []


def test_hum_makes_no_duplicates():
    time = np.arange(3 * RATE) / RATE
    hum = 0.5 * np.sin(2 * np.pi * 50 * time) + 0.2 * np.sin(2 * np.pi * 100 * time)
    takes = [take(f"{n}.wav", hum + 0.2 * spoken(3.0, seed=n)) for n in range(4)]
    assert near_duplicates(takes, RATE) == []


def test_odd_clips_do_no_harm():
    takes = [
        take("a.wav", np.full(RATE, 0.5)),
        take("a.mp3", np.full(RATE, 0.5)),
        take("b.wav", np.eye(1, RATE)[0]),
        take("c.wav", spoken(0.3)),
        take("d.wav", spoken(0.3, seed=2)),
    ]
    assert near_duplicates(takes, RATE) == []
    assert near_duplicates([], RATE) == []
    assert near_duplicates(takes[:1], RATE) == []


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
def test_any_rate_of_the_corpus(rate):
    x = spoken()
    y = np.interp(np.arange(0, len(x), RATE / rate), np.arange(len(x)), x).astype(np.float32)
    takes = [
        Take(name, 2.0, rate, envelope(z, rate), lambda z=z: z)
        for name, z in (("a.wav", y), ("b.wav", y + 0.01 * y.std()))
    ]
    assert near_duplicates(takes, rate) == [(0, 1)]


def test_a_clean_corpus_is_as_before(corpus_folder):
    corpus = load_corpus(read_manifest(corpus_folder), RATE)
    assert not corpus.problems
    assert len(corpus.entries) == 32


def test_threads_and_memory_change_nothing(tmp_path):
    root = write_corpus(tmp_path / "data", clips=4, speakers=TWO)
    for speaker in TWO:
        sound, _ = soundfile.read(root / speaker / "01.wav")
        soundfile.write(root / speaker / "01.mp3", sound, RATE)
    manifest = read_manifest(root)
    found = {
        tuple(entry.clip.name for entry in load_corpus(manifest, RATE, **options).entries)
        for options in ({}, {"workers": 3}, {"memory": 1 << 30}, {"memory": 90_000, "workers": 2})
    }
    assert len(found) == 1
    assert len(next(iter(found))) == 8
