"""Describe raw samples, which have no header: ``s16le,16000,1``.

Encodings have FFmpeg's names. The samples get the header of a WAV file, and are read as such.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from voxedge.audio.wav import WavLayout
from voxedge.errors import UsageError

EXAMPLE = "s16le,16000,1"
#: By encoding: byte order, WAV's format code, and bits of a sample.
_ENCODINGS = {
    "u8": ("<", 1, 8),
    "s16le": ("<", 1, 16),
    "s16be": (">", 1, 16),
    "s24le": ("<", 1, 24),
    "s24be": (">", 1, 24),
    "s32le": ("<", 1, 32),
    "s32be": (">", 1, 32),
    "f32le": ("<", 3, 32),
    "f32be": (">", 3, 32),
    "f64le": ("<", 3, 64),
    "f64be": (">", 3, 64),
    "alaw": ("<", 6, 8),
    "mulaw": ("<", 7, 8),
}
_MAX_RATE, _MAX_CHANNELS = 0xFFFFFFFF, 4096  # that a WAV header can hold


@dataclass(frozen=True)
class RawFormat:
    """How samples without a header are to be read."""

    encoding: str  # a key of ``_ENCODINGS``
    rate: int  # Hz
    channels: int

    def __post_init__(self) -> None:
        if not (0 < self.rate <= _MAX_RATE and 0 < self.channels <= _MAX_CHANNELS):
            raise UsageError(f"raw samples of {self.rate} Hz in {self.channels} channels")

    @classmethod
    def parse(cls, text: str) -> RawFormat:
        """Read ``ENCODING,RATE,CHANNELS``, such as ``s16le,16000,1``.

        Raises:
            UsageError: it has another form, or there is no such encoding.
        """
        words = text.split(",")
        if len(words) != 3 or words[0] not in _ENCODINGS or not all(map(str.isdecimal, words[1:])):
            raise UsageError(
                f"raw samples are described by ENCODING,RATE,CHANNELS such as {EXAMPLE},"
                f" not {text!r}",
                f"encodings: {', '.join(_ENCODINGS)}",
            )
        return cls(words[0], int(words[1]), int(words[2]))

    def layout(self, size: int) -> WavLayout:
        """The layout of a file of so many bytes; a last frame that is cut is left out."""
        order, code, bits = _ENCODINGS[self.encoding]
        frame = self.channels * bits // 8
        second = self.rate * frame & _MAX_RATE
        fmt = struct.pack(order + "HHIIHH", code, self.channels, self.rate, second, frame, bits)
        return WavLayout(
            order=order,
            fmt=fmt,
            data_start=0,
            data_bytes=size - size % frame,
            channels=self.channels,
            rate=self.rate,
            warnings=(),
            truncated=False,
        )
