"""Mix the channels of a clip that arrives in blocks: their mean, unless they cancel each other.

A stereo recording with one microphone connected the wrong way round holds the voice in opposite
phase. Its mean is what differs between the channels: noise, in which any speaker may be found.

Shapes: F frames of a block.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples

BLOCK = 1 << 16  # samples of a block, over all channels

#: The mean of N independent channels has a N-th of their mean power, that of equal ones all of it.
#: Where it has less than this share of a N-th, the channels cancel each other.
_LEAST_SHARE = 0.25
_MUCH = 2.0  # times the power
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
        """Mix the next block [F, channels] to [F]."""
        if block.shape[1] == 1:
            return block[:, 0]
        mono: Samples = block.mean(axis=1)
        if not (_cancel(block, mono) or _cancel(self._rises(block), self._rises(mono))):
            return mono
        self._cancelled += len(block)
        self._power += _power(block)
        strongest = int(self._power.argmax())
        if self._channel is None or self._power[strongest] > _MUCH * self._power[self._channel]:
            self._channel = strongest
        chosen: Samples = block[:, self._channel]
        return chosen

    def _rises(self, samples: Samples) -> Samples:
        return samples[self._step :] - samples[: -self._step]

    def warnings(self, frames: int) -> list[str]:
        """What to say about a clip of so many frames."""
        if not self._cancelled:
            return []
        part, whole = self._cancelled / self._rate, frames / self._rate
        return [
            f"the channels are in opposite phase for {part:.1f} of {whole:.1f} s: the stronger one"
            " is used there"
        ]


def _power(samples: Samples) -> npt.NDArray[np.float64]:
    """Variance over time of samples [F] or of each channel of samples [F, channels]."""
    if not len(samples):
        return np.zeros(samples.shape[1:])
    return np.asarray(np.var(samples, axis=0, dtype=np.float64))


def _cancel(channels: Samples, mean: Samples) -> bool:
    """Whether the mean [F] of channels [F, channels] has lost most of their power."""
    power = _power(channels)
    each = float(power.mean())
    return each > _AUDIBLE and float(_power(mean)) < _LEAST_SHARE * each / len(power)
