"""Convert the sample rate of a clip that arrives in blocks, with soxr.

Shapes: S samples of a block.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from voxedge.audio.limits import Samples

_INAUDIBLE = 1e-20  # 400 dB below full scale


class Resampler:
    """Resample mono blocks of one clip.

    The mean of the first block is subtracted before and added after: the filter would ring at both
    ends of a clip with a constant offset. Equal rates pass through, and soxr is not loaded.

    Args:
        rate: of the blocks, Hz.
        sample_rate: of the result, Hz.
    """

    def __init__(self, rate: int, sample_rate: int) -> None:
        self._stream: Any = None
        if rate != sample_rate:
            import soxr

            self._stream = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32")
        self._offset: np.float32 | None = None

    def __call__(self, mono: Samples, last: bool = False) -> Samples:
        """Resample the next block [S]; ``last`` also returns what the filter still holds."""
        if self._stream is None:
            return mono
        if self._offset is None:
            self._offset = mono.mean() if len(mono) else np.float32(0)
        centred = mono - self._offset
        if len(centred) and max(centred.max(), -centred.min()) < _INAUDIBLE:
            centred[:] = 0  # some processors take forty times as long over denormals
        block: Samples = self._stream.resample_chunk(centred, last=last)
        return block + self._offset
