"""A rolling window, with a file that is played as the microphone."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from tests.conftest import RATE
from tests.timeline.conftest import LoudnessDetector, talk, write_gallery
from voxedge.errors import BadSamples, MicrophoneError, MissingExtra
from voxedge.timeline.inbox import Inbox
from voxedge.timeline.listening import EVERY, SECONDS, Update, listen
from voxedge.timeline.microphone import Microphone, microphones
from voxedge.timeline.naming import Namer, by_gallery, nobody


class PlayedFile:
    """Plays samples as a microphone would, without waiting for real time.

    Its clock shows the time that its frames take at their true rate.

    Args:
        samples: [S].
        rate: that it says, Hz.
        true_rate: Hz, if it is another one.
        paced: the next samples come when an update was made of the last ones.
    """

    def __init__(
        self,
        samples: np.ndarray,
        rate: int = RATE,
        true_rate: int | None = None,
        paced: bool = True,
    ) -> None:
        self.rate, self._true_rate = rate, true_rate or rate
        self._samples, self._paced, self._at = samples, paced, 0
        self.ready = threading.Semaphore()

    def clock(self) -> float:
        return self._at / self._true_rate

    @contextmanager
    def into(self, inbox: Inbox) -> Iterator[None]:
        block = round(EVERY / 8 * self.rate)
        stop = threading.Event()

        def play() -> None:
            for number, start in enumerate(range(0, len(self._samples), block)):
                if self._paced and number % 8 == 0:
                    self.ready.acquire()
                if stop.is_set():
                    return
                self._at = start
                inbox.put(self._samples[start : start + block])
            inbox.end()

        thread = threading.Thread(target=play)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            self.ready.release()
            thread.join()


def heard(model, samples, name=nobody, **device) -> list[Update]:
    played, updates = PlayedFile(samples, **device), []
    for update in listen(played, model, name, detector=LoudnessDetector(), clock=played.clock):
        updates.append(update)
        played.ready.release()
    return updates


@pytest.fixture
def ada_and_ben(identifier, tmp_path) -> Namer:
    return by_gallery(write_gallery(tmp_path / "people.vxg", identifier, "ada", "ben"), cosine=0.7)


def test_updates_come_twice_a_second_and_name_the_speaker(identifier, ada_and_ben):
    samples = talk(("ada", 5.0), ("dan", 5.0), pause=4.0)
    updates = heard(identifier, samples, ada_and_ben)
    assert EVERY <= 0.5
    steps = np.diff([0.0, *(each.seconds for each in updates)])
    assert steps[:-1] == pytest.approx(EVERY)
    assert updates[-1].seconds == pytest.approx(len(samples) / RATE, abs=0.01)

    def at(second: float):
        return next(each for each in updates if each.seconds >= second)

    assert at(3.5).answer is None  # silence
    assert at(3.5).level < -90
    assert at(8.0).answer.speaker == "ada"
    assert at(8.0).answer.matches[0].cosine > 0.9
    level = 20 * np.log10(np.sqrt(np.mean(samples[7 * RATE : 8 * RATE] ** 2)))
    assert at(8.0).level == pytest.approx(level, abs=2.0)
    assert at(17.0).answer.speaker is None
    assert at(17.0).answer.reason == "unknown"
    assert all(each.speech <= SECONDS for each in updates)
    record = at(8.0).to_dict()
    assert (record["speaker"], record["matches"][0]["speaker"], record["late"]) == ("ada", "ada", 0)
    assert at(3.5).to_dict()["reason"] == "no_speech"


def test_a_device_of_another_rate_is_resampled(identifier, ada_and_ben):
    samples = talk(("ada", 4.0), pause=0.5).repeat(2)  # as of 32 kHz
    updates = heard(identifier, samples, ada_and_ben, rate=2 * RATE)
    assert "ada" in {each.answer.speaker for each in updates if each.answer}


def test_a_device_that_lies_about_its_rate_is_refused(identifier):
    with pytest.raises(MicrophoneError, match="delivers"):
        heard(identifier, talk(("ada", 10.0)), true_rate=round(RATE * 44.1 / 48))


def test_what_is_late_is_counted(identifier):
    """A device that waits for nobody: what cannot be heard in time is dropped."""
    samples = talk(("ada", 12.0))
    updates = heard(identifier, samples, paced=False)
    assert updates[-1].late + round(RATE * updates[-1].seconds) == len(samples)
    assert updates[-1].late > 0


def test_bad_samples_are_refused(identifier):
    samples = talk(("ada", 2.0))
    samples[RATE] = np.nan
    with pytest.raises(BadSamples):
        heard(identifier, samples)


class FakeStream:
    """``sounddevice.InputStream`` as far as it is used: it delivers one block at once."""

    def __init__(self, callback, blocksize, finished_callback, **settings) -> None:
        self.settings = settings
        self._callback, self._size, self._finished = callback, blocksize, finished_callback

    def __enter__(self) -> FakeStream:
        buffer = np.full((self._size, 1), 0.5, np.float32)
        self._callback(buffer, self._size, None, None)
        buffer[:] = 9.0  # PortAudio uses its buffers again
        return self

    def __exit__(self, *_) -> None:
        self._finished()


def fake_library(monkeypatch, refused: tuple[int, ...] = ()):
    class PortAudioError(Exception):
        pass

    def check(device, channels, samplerate):
        if samplerate in refused:
            raise PortAudioError("Invalid sample rate")

    devices = [
        {"name": "Speaker", "max_input_channels": 0, "default_samplerate": 48_000.0},
        {"name": "Headset", "max_input_channels": 1, "default_samplerate": 44_100.0},
    ]

    def query(device=None, kind=None):
        if kind is None:
            return devices
        if device not in (None, 1, "Head"):
            raise ValueError(f"No input device matching {device!r}")
        return devices[1]

    library = SimpleNamespace(
        PortAudioError=PortAudioError,
        query_devices=query,
        check_input_settings=check,
        InputStream=FakeStream,
    )
    monkeypatch.setitem(sys.modules, "sounddevice", library)


def test_a_microphone_is_opened_at_the_rate_that_is_wanted(monkeypatch):
    fake_library(monkeypatch)
    microphone = Microphone("1", RATE)
    assert microphone.rate == RATE
    inbox = Inbox(RATE)
    with microphone.into(inbox):
        assert set(inbox.take(800).tolist()) == {0.5}
    with pytest.raises(MicrophoneError, match="has stopped"):
        inbox.take(1)


def test_a_microphone_that_refuses_a_rate_is_read_at_its_own(monkeypatch):
    fake_library(monkeypatch, refused=(RATE,))
    assert Microphone(None, RATE).rate == 44_100
    assert [(each.number, each.name) for each in microphones()] == [(1, "Headset")]


def test_microphones_that_are_not_there(monkeypatch):
    fake_library(monkeypatch)
    with pytest.raises(MicrophoneError, match="No input device"):
        Microphone("7", RATE)
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtra, match="mic"):
        Microphone(None, RATE)
