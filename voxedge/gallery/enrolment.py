"""Which clips can be enrolled, and whether they are of one person: a reason for each that is not.

Shapes: C clips, E embedding, S samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np

from voxedge.audio.activity import Activity
from voxedge.audio.limits import Samples
from voxedge.gallery.people import Floats, Person
from voxedge.gallery.thresholds import leave_one_out

# The limits are where CAM++ and a trained model lose their hold on a speaker (docs/enroll.md).
LEAST_SPEECH = 0.8  # seconds
LEAST_LEVEL = -60.0  # dBFS, root mean square of the speech
MOST_CLIPPED = 0.1  # of the speech's samples
_FULL_SCALE = 0.999


class ReportRecord(TypedDict):
    """A ``ClipReport`` in JSON."""

    path: str
    seconds: float
    speech: float
    reason: str | None
    message: str


@dataclass(frozen=True)
class ClipReport:
    """What became of a clip that was to be enrolled."""

    path: str
    seconds: float = 0.0
    speech: float = 0.0  # seconds that are voiced
    #: Why it was not enrolled: ``too_short``, ``too_quiet``, ``clipped``, ``no_speech``,
    #: ``another_voice``, ``already_enrolled``, or the code of an error of ``voxedge.errors``.
    reason: str | None = None
    message: str = ""

    def to_dict(self) -> ReportRecord:
        """The record that ``voxedge enroll --json`` prints."""
        return {
            "path": self.path,
            "seconds": round(self.seconds, 3),
            "speech": round(self.speech, 3),
            "reason": self.reason,
            "message": self.message,
        }


class EnrolmentRecord(TypedDict):
    """An ``Enrolment`` in JSON."""

    name: str
    clips: int
    speech: float
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
            "speech": round(self.person.speech, 3),
            "percent": self.person.percent,
            "checked": self.checked,
            "reports": [report.to_dict() for report in self.reports],
        }


def examine(path: str, samples: Samples, rate: int) -> ClipReport:
    """Examine a clip [S] at ``rate`` Hz: how much speech there is, how loud, how much is clipped.

    Speech is what stands out by its energy (``voxedge.audio.activity``): music passes for it.
    """
    seconds = len(samples) / rate
    activity = Activity.of(samples, rate)
    active = np.diff(activity.before) > 0
    frames = samples[: len(active) * activity.frame].reshape(len(active), activity.frame)[active]
    speech = frames.size / rate
    report = ClipReport(path, seconds, speech)
    if not len(frames):
        return _refused(report, "no_speech", "no speech in it")
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

    Each clip is compared with the mean of the others. The one that is least like them is set aside
    if it is below ``cosine``, and then the others are compared again. Of two clips that differ none
    can be said to be the odd one: then both are returned.
    """
    left = list(range(len(embeddings)))
    odd: list[int] = []
    while len(left) > 1:
        cosines = leave_one_out(embeddings[left])
        if cosines.min() >= cosine:
            break
        if len(left) == 2:
            return odd + left
        odd.append(left.pop(int(cosines.argmin())))
    return odd


def nearest_other(
    person: Person, people: Sequence[Person], cosine: float
) -> tuple[Person, float] | None:
    """Of the other people the one who sounds most like a person, from ``cosine`` on."""
    others = [each for each in people if each.name != person.name]
    if not others:
        return None
    cosines = np.stack([each.mean for each in others]) @ person.mean
    best = int(cosines.argmax())
    return (others[best], float(cosines[best])) if cosines[best] >= cosine else None


def _refused(report: ClipReport, reason: str, message: str) -> ClipReport:
    return ClipReport(report.path, report.seconds, report.speech, reason, message)
