"""The synthetic corpus: its files, that they are reproducible, and that its voices differ."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voxedge.demo.speech import SENTENCES, VOICES, Voice, speak_corpus
from voxedge.errors import MissingExtra, UsageError
from voxedge.install import install_command

espeakng_loader = pytest.importorskip("espeakng_loader")

READ = SENTENCES[:3]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spoken")
    assert speak_corpus(folder, sentences=READ) == len(VOICES) * len(READ)
    return folder


def mean_log_spectrum(path: Path) -> np.ndarray:
    """Mean over the loud frames in 32 bands up to 8 kHz, loudness removed: [32]."""
    samples, rate = soundfile.read(path)
    frames = np.lib.stride_tricks.sliding_window_view(samples, 1024)[::256] * np.hanning(1024)
    power = np.abs(np.fft.rfft(frames)) ** 2
    power = power[power.sum(1) > 1e-3 * power.sum(1).max()]
    edges = np.geomspace(100, 8000, 33) / rate * 1024
    bands = np.add.reduceat(power, np.unique(edges.astype(int)), axis=1)[:, :-1]
    spectrum = np.log(bands + 1e-9).mean(0)
    return spectrum - spectrum.mean()


def test_every_voice_has_its_clips(corpus):
    names = {f"{number:02d}.wav" for number in range(1, len(READ) + 1)}
    assert {folder.name for folder in corpus.iterdir()} == {voice.name for voice in VOICES}
    for voice in VOICES:
        assert {path.name for path in (corpus / voice.name).iterdir()} == names


def test_clips_are_plain_speech(corpus):
    for path in sorted(corpus.rglob("*.wav")):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (22050, 1, "PCM_16")
        assert 1.5 < info.duration < 8
        samples, _ = soundfile.read(path)
        peak = np.abs(samples).max()
        assert 0.28 < peak < 0.72  # not clipped, not faint
        assert 0.02 < np.sqrt(np.mean(samples**2)) < 0.3
        quietest = np.abs(samples[: len(samples) // 512 * 512]).reshape(-1, 512).max(1).min()
        assert 0 < quietest < 0.02  # a noise floor, and a light one


def test_voices_and_sentences_are_unique():
    assert len({voice.name for voice in VOICES}) == len({voice.espeak for voice in VOICES}) == 12
    assert len(set(SENTENCES)) == len(SENTENCES) >= 14


def test_same_call_same_bytes_after_other_voices(corpus, tmp_path):
    chosen = (VOICES[10], VOICES[0])  # both are breathy, which takes random numbers
    speak_corpus(tmp_path, voices=chosen, sentences=READ)
    for voice in chosen:
        for path in (tmp_path / voice.name).iterdir():
            assert path.read_bytes() == (corpus / voice.name / path.name).read_bytes()


def test_second_call_writes_only_what_is_missing(corpus, tmp_path):
    voice = VOICES[0]
    assert speak_corpus(tmp_path, voices=[voice], sentences=READ) == len(READ)
    kept, lost = tmp_path / voice.name / "01.wav", tmp_path / voice.name / "02.wav"
    kept.write_bytes(b"the user's own")
    lost.unlink()
    assert speak_corpus(tmp_path, voices=[voice], sentences=READ) == 1
    assert kept.read_bytes() == b"the user's own"
    assert lost.read_bytes() == (corpus / voice.name / lost.name).read_bytes()
    assert speak_corpus(tmp_path, voices=[voice], sentences=READ) == 0
    assert {path.name for path in (tmp_path / voice.name).iterdir()} == {
        f"{number:02d}.wav" for number in (1, 2, 3)
    }


def test_numbering_and_progress(tmp_path):
    seen: list[tuple[int, int]] = []
    speak_corpus(
        tmp_path,
        voices=VOICES[:2],
        sentences=SENTENCES[-2:],
        first=13,
        progress=lambda done, clips: seen.append((done, clips)),
    )
    assert seen == [(2, 4), (4, 4)]
    for voice in VOICES[:2]:
        assert {path.name for path in (tmp_path / voice.name).iterdir()} == {"13.wav", "14.wav"}


def test_voices_can_be_distinguished(corpus):
    spectra = np.array(
        [
            [mean_log_spectrum(corpus / voice.name / f"{n:02d}.wav") for n in (1, 2, 3)]
            for voice in VOICES
        ]
    )
    centroids, unseen = spectra[:, :2].mean(1), spectra[:, 2]
    distances = np.sqrt(((unseen[:, None] - centroids[None]) ** 2).mean(-1))
    assert (distances.argmin(1) == np.arange(len(VOICES))).all()
    own, others = distances.diagonal(), distances[~np.eye(len(VOICES), dtype=bool)]
    assert others.min() > own.mean()  # no two voices are closer than two sentences of one voice
    assert own.min() > 0.05  # and no voice is a constant: its sentences differ


def test_sentences_of_a_voice_vary_in_level(corpus):
    peaks = [np.abs(soundfile.read(path)[0]).max() for path in (corpus / VOICES[0].name).iterdir()]
    assert max(peaks) - min(peaks) > 0.01


def test_missing_extra_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(MissingExtra, match=re.escape(install_command("demo"))):
        speak_corpus(tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize("espeak", ["en-us+nobody", "tlhingan-hol", "en-us+../m1/x"])
def test_an_unknown_voice_is_refused(tmp_path, espeak):
    with pytest.raises(UsageError, match="no voice"):
        speak_corpus(tmp_path, voices=[Voice("someone", espeak)], sentences=READ[:1])
    assert not list(tmp_path.rglob("*.wav"))


@pytest.mark.parametrize(
    "values",
    [
        {"name": ""},
        {"name": "../escape"},
        {"name": ".hidden"},
        {"name": "a", "pitch": 100},
        {"name": "a", "rate": 79},
    ],
)
def test_impossible_voices_are_refused(values):
    with pytest.raises(UsageError):
        Voice(**{"espeak": "en-us", **values})


def test_a_deep_installation_works(corpus, tmp_path, monkeypatch):
    """espeak-ng itself cuts the path of its data off at 160 characters."""
    package = tmp_path / ("deep" * 20) / ("deeper" * 20) / "espeakng_loader"
    package.mkdir(parents=True)
    for original in Path(espeakng_loader.__file__).parent.iterdir():
        (package / original.name).symlink_to(original)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    speak_corpus(tmp_path / "corpus", voices=VOICES[:1], sentences=READ[:1])
    spoken = tmp_path / "corpus" / VOICES[0].name / "01.wav"
    assert spoken.read_bytes() == (corpus / VOICES[0].name / "01.wav").read_bytes()
