"""Whether a clip holds speech, how much and where: decided before anybody is named.

The thresholds are lower than the authors' (``voxedge.speech.segments``), and the clip is scaled to
one level first: speech in a reverberant room or over a telephone must not be refused. They are
chosen in docs/experiments/2026-11.md: of speech that was named right none is refused, of noises
one in twelve passes.

Shapes: S samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from voxedge.audio.activity import Activity
from voxedge.audio.limits import Samples
from voxedge.speech.detector import speech_probabilities
from voxedge.speech.segments import Segment, speech_segments

Unfit: TypeAlias = Literal["no_speech", "too_little_speech"]

#: Seconds of speech below which nobody is named.
LEAST_SPEECH = 0.25

_LEVEL = -15.0  # dBFS, root mean square of what is active: the network depends on it
_THRESHOLD = 0.25
_MIN_SPEECH = 0.1  # seconds, of a segment


@dataclass(frozen=True)
class Speech:
    """The segments of speech of a clip."""

    segments: tuple[Segment, ...]

    @property
    def seconds(self) -> float:
        """How much speech there is."""
        return sum((each.end - each.start for each in self.segments), 0.0)

    @property
    def unfit(self) -> Unfit | None:
        """Why nobody should be named after it, if so."""
        if not self.segments:
            return "no_speech"
        return "too_little_speech" if self.seconds < LEAST_SPEECH else None


def find_speech(samples: Samples, rate: int) -> Speech:
    """Find the speech of a whole clip.

    In silence there is none, and no detector is loaded.

    Args:
        samples: [S], float32 in [-1, 1], mono.
        rate: Hz.
    """
    active = Activity.of(samples, rate).frames(samples)
    if not len(active):
        return Speech(())
    power = float(np.mean(np.square(active, dtype=np.float64)))
    gain = np.float32(np.sqrt(10 ** (_LEVEL / 10) / power))
    found = speech_segments(
        speech_probabilities(gain * samples, rate), threshold=_THRESHOLD, min_speech=_MIN_SPEECH
    )
    last = len(samples) / rate  # the last frame may be longer than the clip
    return Speech(tuple(Segment(each.start, min(each.end, last)) for each in found))
