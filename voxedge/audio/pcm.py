"""The samples of a plain WAV file, by NumPy: bit for bit what libsndfile makes of them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import BinaryIO

import numpy as np

from voxedge.audio.limits import Samples
from voxedge.audio.wav import WavLayout


class PcmSource(AbstractContextManager["PcmSource"]):
    """A ``decoder.Source``, of a layout that has a ``dtype``."""

    slack = 0
    cut_off = ""  # wav.parse has said it already

    def __init__(self, file: BinaryIO, layout: WavLayout) -> None:
        self.rate, self.channels = layout.rate, layout.channels
        self._file, self._type = file, np.dtype(layout.dtype)
        self._frame = self.channels * self._type.itemsize
        self.declared = layout.data_bytes // self._frame
        self._left = self.declared
        file.seek(layout.data_start)

    def block(self, out: Samples) -> tuple[Samples, str]:
        """The next frames, into ``out`` [F, channels]; fewer at the end."""
        wanted = min(len(out), self._left) * self._frame
        raw = self._file.read(wanted)
        while raw and len(raw) < wanted:  # an unbuffered file may give less than it has
            if not (more := self._file.read(wanted - len(raw))):
                break
            raw += more
        values = np.frombuffer(raw, self._type, len(raw) // self._frame * self.channels)
        done = out[: len(values) // self.channels]
        self._left -= len(done)
        with np.errstate(over="ignore"):  # float64 beyond float32 becomes inf, refused later
            done[:] = values.reshape(done.shape)
        if self._type.kind == "u":
            done -= 128
        if self._type.kind != "f":
            done *= np.float32(2.0 ** (1 - 8 * self._type.itemsize))
        return done, ""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass  # whoever opened the file closes it
