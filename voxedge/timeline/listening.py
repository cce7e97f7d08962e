"""Who is speaking at a microphone: a rolling window, named several times a second.

Shapes: S samples, N frames of the detector of speech.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples, check_values
from voxedge.audio.resample import Resampler
from voxedge.gallery.enrolment import LEAST_SPEECH
from voxedge.inference.answers import Heard
from voxedge.inference.identifier import Identifier
from voxedge.inference.prediction import MatchRecord, Prediction, ScoreRecord
from voxedge.speech.detector import FRAME_SECONDS, SpeechDetector
from voxedge.speech.network import RATE
from voxedge.speech.segments import THRESHOLD
from voxedge.timeline.inbox import Inbox
from voxedge.timeline.microphone import Device
from voxedge.timeline.naming import Namer, Voice
from voxedge.timeline.windows import Detector

EVERY = 0.4  # seconds between two updates
SECONDS = 3.0  # of the rolling window
_SILENCE = 1e-10  # power: -100 dBFS


class UpdateRecord(TypedDict):
    """An ``Update`` in JSON."""

    seconds: float
    level: float
    speech: float
    speaker: str | None
    reason: NotRequired[str]
    predictions: NotRequired[list[ScoreRecord]]
    known: NotRequired[float]
    least_known: NotRequired[float]
    matches: NotRequired[list[MatchRecord]]
    late: int


class Update(NamedTuple):
    """What is known of the last seconds."""

    seconds: float  # heard so far
    level: float  # dBFS, root mean square since the last update
    speech: float  # seconds of it in the rolling window
    answer: Prediction | None  # None: too little speech
    late: int  # frames that came too fast, and were dropped, so far

    def to_dict(self) -> UpdateRecord:
        """The record that ``voxedge listen --json`` prints."""
        answer = self.answer
        record: UpdateRecord = {
            "seconds": round(self.seconds, 2),
            "level": round(self.level, 1),
            "speech": round(self.speech, 2),
            "speaker": None if answer is None else answer.speaker,
            "late": self.late,
        }
        if answer is None:
            record["reason"] = "no_speech"
            return record
        guesses = answer.to_dict()
        if answer.reason:
            record["reason"] = answer.reason
        if answer.matches is not None:
            record["matches"] = guesses["matches"]
        elif answer.predictions:
            record["predictions"] = guesses["predictions"]
            if "known" in guesses:
                record["known"] = guesses["known"]
            if "least_known" in guesses:
                record["least_known"] = guesses["least_known"]
        return record


def listen(
    device: Device,
    model: Identifier,
    name: Namer,
    *,
    detector: Detector | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Update]:
    """Yield who is speaking, every ``EVERY`` seconds, until the device ends.

    Args:
        device: delivers samples.
        model: gives the embeddings.
        name: names the speaker.
        detector: of speech, in its first state.
        clock: seconds, by which the device's rate is checked.

    Raises:
        MicrophoneError: the device fails, is silent, or has another rate than it says.
        BadSamples: samples are NaN or far outside [-1, 1].
        NonFiniteOutput: the model's answer is NaN or infinite.
    """
    inbox = Inbox(device.rate, clock)
    window = _RollingWindow(device.rate, model.sample_rate, detector or SpeechDetector())
    heard = 0
    with device.into(inbox):
        while (block := inbox.take(round(EVERY * device.rate))) is not None:
            check_values(block)
            heard += len(block)
            window.append(block)
            yield Update(
                heard / device.rate,
                _level(block),
                window.speech,
                _answer(window.spoken(), model, name),
                inbox.dropped,
            )


class _RollingWindow:
    """The last seconds of a stream, and where there is speech in them."""

    def __init__(self, rate: int, sample_rate: int, detector: Detector) -> None:
        self._to_model, self._to_detector = Resampler(rate, sample_rate), Resampler(rate, RATE)
        self._detector, self._rate = detector, sample_rate
        self._samples = np.zeros(0, np.float32)
        self._probabilities: npt.NDArray[np.float32] = np.zeros(0, np.float32)

    @property
    def speech(self) -> float:
        """Seconds of it."""
        return float((self._probabilities >= THRESHOLD).sum()) * FRAME_SECONDS

    def append(self, block: Samples) -> None:
        """Hear more; what is too old is forgotten."""
        samples = np.append(self._samples, self._to_model(block))
        self._samples = samples[-round(SECONDS * self._rate) :]
        new = self._detector.feed(self._to_detector(block))
        frames = int(SECONDS / FRAME_SECONDS)
        self._probabilities = np.append(self._probabilities, new)[-frames:]

    def spoken(self) -> Samples | None:
        """The samples from the first speech to the last; None if there is too little."""
        if self.speech < LEAST_SPEECH:
            return None
        speech = np.flatnonzero(self._probabilities >= THRESHOLD)
        before_end = len(self._probabilities) - np.array([speech[0], speech[-1] + 1])
        first, last = (
            max(0, len(self._samples) - round(frames * FRAME_SECONDS * self._rate))
            for frames in before_end.tolist()
        )
        return self._samples[first:last]


def _answer(samples: Samples | None, model: Identifier, name: Namer) -> Prediction | None:
    if samples is None:
        return None
    (scores,) = model.score([(None, samples)])
    if not scores.windows:
        return None
    seconds = len(samples) / model.sample_rate
    return name(Voice(model.answers.embedded(scores, Heard(seconds)), scores, seconds))


def _level(samples: Samples) -> float:
    """The root mean square of samples [S], in dB of full scale."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return float(10 * np.log10(power + _SILENCE))
