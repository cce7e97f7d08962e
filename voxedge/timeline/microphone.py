"""Microphones, by sounddevice (PortAudio): the extra ``mic``. Loaded where it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np

from voxedge.audio.limits import Samples
from voxedge.errors import MicrophoneError, MissingExtra
from voxedge.install import needs_extra
from voxedge.timeline.inbox import Inbox

_BLOCK = 0.05  # seconds


class Device(Protocol):
    """What delivers samples: ``Microphone``, or a file that is played in a test."""

    @property
    def rate(self) -> int:
        """That it says, Hz."""

    def into(self, inbox: Inbox) -> AbstractContextManager[None]:
        """Deliver mono samples within the context, from a thread of its own."""


class Found(NamedTuple):
    """A microphone of this machine."""

    number: int
    name: str
    channels: int
    rate: int  # Hz, its own


class Microphone:
    """An open microphone.

    Args:
        which: number or part of a name; None for the system's own choice.
        rate: Hz, that is wanted. A device that refuses it is read at its own rate.

    Raises:
        MicrophoneError: there is none such.
        MissingExtra: sounddevice is not installed, or PortAudio.
    """

    def __init__(self, which: str | None, rate: int) -> None:
        library = _sounddevice()
        self._which = int(which) if which is not None and which.isdecimal() else which
        with _clear_errors(library):
            own = library.query_devices(self._which, "input")
            self.rate = rate
            try:
                library.check_input_settings(self._which, channels=1, samplerate=rate)
            except library.PortAudioError:
                self.rate = round(own["default_samplerate"])

    @contextmanager
    def into(self, inbox: Inbox) -> Iterator[None]:
        """See ``Device``."""
        library = _sounddevice()

        def heard(block: Samples, *_: object) -> None:
            inbox.put(np.array(block[:, 0]))  # the buffer is used again

        with (
            _clear_errors(library),
            library.InputStream(
                device=self._which,
                samplerate=self.rate,
                channels=1,
                dtype="float32",
                blocksize=round(_BLOCK * self.rate),
                callback=heard,
                finished_callback=lambda: inbox.end("the microphone has stopped"),
            ),
        ):
            yield


def microphones() -> list[Found]:
    """All microphones of this machine.

    Raises:
        MissingExtra: sounddevice is not installed, or PortAudio.
    """
    library = _sounddevice()
    return [
        Found(
            number,
            str(device["name"]),
            int(device["max_input_channels"]),
            round(device["default_samplerate"]),
        )
        for number, device in enumerate(library.query_devices())
        if device["max_input_channels"] > 0
    ]


def _sounddevice() -> Any:  # noqa: ANN401 - the module
    with needs_extra("mic"):
        try:
            import sounddevice
        except OSError as error:  # it is installed, and the library below it is not
            raise MissingExtra(
                f"this needs PortAudio: {error}", "apt install libportaudio2"
            ) from None
    return sounddevice


@contextmanager
def _clear_errors(library: Any) -> Iterator[None]:  # noqa: ANN401 - the module
    try:
        yield
    except (library.PortAudioError, ValueError) as error:
        raise MicrophoneError(str(error), "voxedge listen --list shows the microphones") from None
