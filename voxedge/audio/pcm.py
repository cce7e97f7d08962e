"""Read the samples of a plain WAV file with NumPy: bit for bit what libsndfile returns."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples
from voxedge.audio.wav import WavLayout


def scale(values: npt.NDArray[Any], out: Samples) -> Samples:
    """Convert floats, or integers by the range of their type, to float32 in [-1, 1].

    Args:
        values: of any shape; unsigned integers have their zero in the middle of their range.
        out: of the same shape; gets the result.
    """
    half = np.float32(2.0 ** (8 * values.dtype.itemsize - 1))
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite: refused later
        out[...] = values
    if values.dtype.kind == "u":
        out -= half
    if values.dtype.kind != "f":
        out *= 1 / half
    return out


class PcmSource(AbstractContextManager["PcmSource"]):
    """A ``decoder.FrameSource`` of a WAV file whose layout has a ``dtype``."""

    frame_tolerance = 0
    cut_off = ""  # wav.parse has compared the header with the file already

    def __init__(self, file: BinaryIO, layout: WavLayout) -> None:
        self.rate, self.channels = layout.rate, layout.channels
        self._file, self._type = file, np.dtype(layout.dtype)
        self._frame = self.channels * self._type.itemsize
        self.declared_frames = layout.data_bytes // self._frame
        self._left = self.declared_frames
        file.seek(layout.data_start)

    def read_block(self, out: Samples) -> tuple[Samples, str]:
        """Read the next frames into ``out`` [F, channels]; fewer than F at the end."""
        wanted = min(len(out), self._left) * self._frame
        raw = self._file.read(wanted)
        while raw and len(raw) < wanted:  # an unbuffered file may return less than it has
            if not (more := self._file.read(wanted - len(raw))):
                break
            raw += more
        values = np.frombuffer(raw, self._type, len(raw) // self._frame * self.channels)
        block = out[: len(values) // self.channels]
        self._left -= len(block)
        return scale(values.reshape(block.shape), block), ""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the file open: its owner closes it."""
