"""Sample rate conversion of a clip that comes in blocks, by soxr.

Shapes: S samples of a block.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from voxedge.audio.limits import Samples

_NOTHING = 1e-20  # 400 dB below full scale


class Resampler:
    """soxr over blocks, without the clip's offset: else a constant would ring at both its ends."""

    def __init__(self, rate: int, sample_rate: int) -> None:
        self._stream: Any = None
        if rate != sample_rate:
            import soxr  # most clips are at the model's rate already

            self._stream = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32")
        self._offset: np.float32 | None = None

    def __call__(self, mono: Samples, last: bool = False) -> Samples:
        if self._stream is None:
            return mono
        if self._offset is None:
            self._offset = mono.mean() if len(mono) else np.float32(0)
        level = mono - self._offset
        if len(level) and max(level.max(), -level.min()) < _NOTHING:
            level[:] = 0  # some processors take forty times as long over denormals
        block: Samples = self._stream.resample_chunk(level, last=last)
        return block + self._offset
