"""Mix the channels of a clip that arrives in blocks: their mean, unless they cancel each other.

A stereo recording with one microphone connected the wrong way round holds the voice in opposite
phase. Its mean is what differs between the channels: noise, in which any speaker may be found.

Shapes: F frames of a block, C channels.
"""

from __future__ import annotations

import numpy as np

from voxedge.audio.limits import Samples

BLOCK = 1 << 16  # samples of a block, over all channels

#: The mean of N independent channels has a N-th of their mean power, that of equal ones all of it.
#: Where it has less than this share of a N-th, the channels cancel each other.
_LEAST_SHARE = 0.25
_MUCH = 2.0  # times the power
_FRAMES = 2_000  # of a block that are enough to see its power
_AUDIBLE = 1e-12  # power: -120 dBFS
_STEP = 16_000  # Hz: differences at this rate weaken hum, which two opposed channels share


class Downmix:
    """Mix blocks of one clip to mono.

    Where the channels cancel each other, a block is that of the stronger channel. It stays the same
    until another one is much stronger: a change turns the phase round.

    Args:
        rate: of the clip, Hz.
        channels: of the clip.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._rate, self._step = rate, max(1, rate // _STEP)
        self._power = np.zeros(channels)  # of the blocks whose channels cancel each other
        self._channel: int | None = None
        self._cancelled = 0  # frames

    def __call__(self, block: Samples) -> Samples:
        """Mix the next block [F, C] to [F]."""
        if block.shape[1] == 1:
            return block[:, 0]
        if not self._cancel(block):
            return _mean(block)
        self._cancelled += len(block)
        self._power += np.var(block, axis=0, dtype=np.float64)
        strongest = int(self._power.argmax())
        if self._channel is None or self._power[strongest] > _MUCH * self._power[self._channel]:
            self._channel = strongest
        chosen: Samples = block[:, self._channel]
        return chosen

    def _cancel(self, block: Samples) -> bool:
        """Whether the mean of the channels has lost most of their power.

        Where hum is all that is left of them, the differences of samples show it.
        """
        every = max(1, len(block) // _FRAMES) | 1  # odd, so that it is no multiple of a period
        sooner, later = block[: -self._step : every], block[self._step :: every]
        if not len(sooner):
            return False
        channels = np.ascontiguousarray(sooner.T)
        return _is_lost_in_mean(channels) or _is_lost_in_mean(later.T - channels)

    def warnings(self, frames: int) -> list[str]:
        """What to say about a clip of so many frames."""
        if not self._cancelled:
            return []
        part, whole = self._cancelled / self._rate, frames / self._rate
        return [
            f"the channels are in opposite phase for {part:.1f} of {whole:.1f} s: the stronger one"
            " is used there"
        ]


def _mean(block: Samples) -> Samples:
    """The mean of the channels; the same of two as NumPy's, which is slow for them."""
    if block.shape[1] == 2:
        mean: Samples = (block[:, 0] + block[:, 1]) * np.float32(0.5)
    else:
        mean = block.mean(axis=1)
    return mean


def _is_lost_in_mean(channels: Samples) -> bool:
    """Whether the mean of channels [C, F] has almost none of their power, offsets aside."""
    each = float(channels.var(axis=1, dtype=np.float64).mean())
    left = float(channels.mean(axis=0).var(dtype=np.float64))
    return each > _AUDIBLE and left < _LEAST_SHARE * each / len(channels)
