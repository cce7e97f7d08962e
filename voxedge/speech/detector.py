"""Detect speech: the probability that each frame of a clip or a stream holds some.

Shapes: S samples, N frames.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples
from voxedge.audio.resample import Resampler
from voxedge.speech.network import CONTEXT, FRAME, RATE, Network, first_state

FRAME_SECONDS = FRAME / RATE  # 0.032

_BLOCK = 32  # frames that are computed at a time: what they take stays in the caches


class SpeechDetector:
    """A voice activity detector for a stream at 16 kHz, which remembers what it has heard."""

    def __init__(self) -> None:
        self._network = _network()
        self.reset()

    def reset(self) -> None:
        """Forget all that was heard: the next samples begin another stream."""
        self._state = first_state()
        self._held = np.zeros(CONTEXT, np.float32)  # context and the frame that is not complete

    def feed(self, samples: Samples) -> npt.NDArray[np.float32]:
        """Hear more of the stream.

        Args:
            samples: [S], float32 in [-1, 1] at 16 kHz, mono; any number of them.

        Returns:
            The probabilities [N] of speech in the frames that are now complete, each 0 to 1.
        """
        heard = np.append(self._held, samples).astype(np.float32, copy=False)
        count = (len(heard) - CONTEXT) // FRAME
        self._held = heard[count * FRAME :]
        found = [np.zeros(0, np.float32)]
        if count:
            frames = np.lib.stride_tricks.sliding_window_view(heard, CONTEXT + FRAME)[::FRAME]
            for start in range(0, count, _BLOCK):
                block, self._state = self._network(frames[start : start + _BLOCK], self._state)
                found.append(block)
        return np.concatenate(found)


def speech_probabilities(samples: Samples, rate: int) -> npt.NDArray[np.float32]:
    """The probabilities of speech in the frames of a whole clip: [N].

    Frame n begins at n * ``FRAME_SECONDS``; the last one is filled up with zeros.

    Args:
        samples: [S], float32 in [-1, 1], mono.
        rate: Hz, any.
    """
    heard = Resampler(rate, RATE)(samples, last=True)
    return SpeechDetector().feed(np.append(heard, np.zeros(-len(heard) % FRAME, np.float32)))


@cache
def _network() -> Network:
    """The network, loaded once; it does not change."""
    return Network.load()
