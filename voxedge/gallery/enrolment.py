"""Which clips can be enrolled, and whether they are of one person: a reason for each that is not.

Shapes: C clips, E embedding, S samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from voxedge.audio.activity import Activity
from voxedge.audio.limits import Samples
from voxedge.gallery.people import Floats, Person
from voxedge.inference.scoring import unit_length
from voxedge.speech.clip import Speech

# The limits are where CAM++ and a trained model lose their hold on a speaker (docs/enroll.md).
LEAST_SPEECH = 0.8  # seconds
LEAST_LEVEL = -60.0  # dBFS, root mean square of the speech
MOST_CLIPPED = 0.1  # of the speech's samples
_FULL_SCALE = 0.999
_STEPS = 20  # of 2-means, which takes two or three


class ReportRecord(TypedDict):
    """A ``ClipReport`` in JSON."""

    path: str
    seconds: float
    speech_seconds: float
    percent: int
    reason: str | None
    message: str


@dataclass(frozen=True)
class ClipReport:
    """What became of a clip that was to be enrolled."""

    path: str
    seconds: float = 0.0
    speech: float = 0.0  # seconds that are voiced
    percent: int = 0  # of the speech that is wanted of the person, with this clip and those before
    #: Why it was not enrolled: ``too_short``, ``too_quiet``, ``clipped``, ``no_speech``,
    #: ``another_voice``, ``already_enrolled``, or the code of an error of ``voxedge.errors``.
    reason: str | None = None
    message: str = ""

    def to_dict(self) -> ReportRecord:
        """The record that ``voxedge enroll --json`` prints."""
        return {
            "path": self.path,
            "seconds": round(self.seconds, 3),
            "speech_seconds": round(self.speech, 3),
            "percent": self.percent,
            "reason": self.reason,
            "message": self.message,
        }


class EnrolmentRecord(TypedDict):
    """An ``Enrolment`` in JSON."""

    name: str
    clips: int
    speech_seconds: float
    percent: int
    checked: bool
    reports: list[ReportRecord]


@dataclass(frozen=True)
class Enrolment:
    """What became of a person's clips."""

    person: Person  # with those that were enrolled earlier
    reports: tuple[ClipReport, ...] = field(default=())  # of the clips that were given
    checked: bool = True  # whether voices were compared; not where no threshold is known

    @property
    def left_out(self) -> tuple[ClipReport, ...]:
        """The clips that were not enrolled."""
        return tuple(report for report in self.reports if report.reason)

    def to_dict(self) -> EnrolmentRecord:
        """The record that ``voxedge enroll --json`` prints."""
        return {
            "name": self.person.name,
            "clips": len(self.person.clips),
            "speech_seconds": round(self.person.speech, 3),
            "percent": self.person.percent,
            "checked": self.checked,
            "reports": [report.to_dict() for report in self.reports],
        }


def examine(path: str, samples: Samples, rate: int, found: Speech | None) -> ClipReport:
    """Examine a clip [S] at ``rate`` Hz: how much speech there is, how loud, how much is clipped.

    ``found`` is the speech of the clip. If it was not looked for, all that stands out by its energy
    (``voxedge.audio.activity``) passes for it.
    """
    seconds = len(samples) / rate
    frames = Activity.of(samples, rate).frames(samples)
    speech = frames.size / rate if found is None else found.seconds
    report = ClipReport(path, seconds, speech)
    if not speech:
        return _refused(report, "no_speech", "silence, noise or music")
    level = 10 * np.log10(np.mean(np.square(frames, dtype=np.float64)) + 1e-20)
    clipped = float(np.mean(np.abs(frames) >= _FULL_SCALE))
    if level < LEAST_LEVEL:
        return _refused(report, "too_quiet", f"speech at {level:.0f} dBFS")
    if speech < LEAST_SPEECH:
        message = f"{speech:.1f} s of speech; at least {LEAST_SPEECH:g} s are needed"
        return _refused(report, "too_short", message)
    if clipped > MOST_CLIPPED:
        return _refused(report, "clipped", f"{clipped:.0%} of the speech is clipped")
    return report


def odd_clips(embeddings: Floats, cosine: float) -> list[int]:
    """The clips [C, E] that do not sound like the others, the oddest first.

    The clips are split in the two groups that are most unlike. If the groups' means are below
    ``cosine``, the smaller group is odd, and the larger one is split again. Of two groups of one
    size none can be said to be the odd one: then all clips are returned, of both in turns.
    """
    left = np.arange(len(embeddings))
    odd: list[int] = []
    while len(left) > 1:
        second = two_groups(embeddings[left])
        if second.sum() * 2 > len(left):
            second = ~second
        kept, others = left[~second], left[second]
        center = unit_length(embeddings[kept].mean(axis=0))
        if float(center @ unit_length(embeddings[others].mean(axis=0))) >= cosine:
            break
        if len(kept) == len(others):
            turns = np.stack([kept, others], axis=1).ravel()
            return turns.tolist() + odd
        odd = [*odd, *others[np.argsort(embeddings[others] @ center)].tolist()]
        left = kept
    return odd


def two_groups(embeddings: Floats) -> npt.NDArray[np.bool_]:
    """Which of the clips [C, E], two or more, are in the second of two groups.

    Spherical 2-means (Dhillon and Modha 2001), begun from the two clips that are most unlike.
    """
    cosines = embeddings @ embeddings.T
    first, last = np.unravel_index(int(cosines.argmin()), cosines.shape)
    if first == last:  # all are equal
        last = (first + 1) % len(embeddings)
    second: npt.NDArray[np.bool_] = cosines[last] > cosines[first]
    second[first], second[last] = False, True
    for _ in range(_STEPS):
        centers = [unit_length(embeddings[rows].mean(axis=0)) for rows in (~second, second)]
        moved: npt.NDArray[np.bool_] = embeddings @ centers[1] > embeddings @ centers[0]
        if moved.all() or not moved.any() or (moved == second).all():
            break
        second = moved
    return second


def _refused(report: ClipReport, reason: str, message: str) -> ClipReport:
    return replace(report, reason=reason, message=message)
