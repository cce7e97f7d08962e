"""The threshold of a gallery: from its own people if they are enough, else from a calibration.

Shapes: C clips of all people, E embedding, P people.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from voxedge.errors import UsageError
from voxedge.gallery.calibration import Calibration, LogOdds
from voxedge.gallery.measured import calibration_of
from voxedge.gallery.people import Contents
from voxedge.inference.prediction import Threshold

DEFAULT_ACCEPT = 0.05  # share of strangers who are let through
LEAST_PEOPLE = 20  # whose clips stand in for strangers' clips
_LEAST_ERRORS = 3  # clips that the share must amount to
_MOST_CLIPS = 3_000
_BLOCK = 100  # people that are compared at a time, so that memory does not grow


class OwnTrials(NamedTuple):
    """Each enrolled clip as its person's, and as a stranger's."""

    own: npt.NDArray[np.float64]  # cosine with the mean of the person's other clips; one clip: none
    strange: npt.NDArray[np.float64]  # [C], largest cosine with any other person


def own_trials(contents: Contents) -> OwnTrials:
    """Compare each enrolled clip with its person's other clips, and with the other people.

    Of a large gallery every so many people are taken, evenly: some thousand clips are enough.
    """
    step = 1 + contents.clips // _MOST_CLIPS
    chosen = range(0, len(contents.people), step)
    embeddings = {number: contents.people[number].embeddings for number in chosen}
    own = [leave_one_out(rows) for rows in embeddings.values()]
    strange = [np.zeros(0)]
    for start in range(0, len(chosen) if len(contents.people) > 1 else 0, _BLOCK):
        block = chosen[start : start + _BLOCK]
        rows = [embeddings[number] for number in block]
        cosines = np.concatenate(rows) @ contents.means.T
        persons = np.repeat(block, [len(each) for each in rows])
        cosines[np.arange(len(persons)), persons] = -np.inf
        strange.append(cosines.max(axis=1))
    return OwnTrials(np.concatenate([np.zeros(0), *own]), np.concatenate(strange))


def leave_one_out(embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The cosine of each of [C, E] with the mean of the others: [C]; of a single one none."""
    if len(embeddings) < 2:
        return np.zeros(0)
    rows = embeddings.astype(np.float64)
    others = rows.sum(axis=0) - rows
    others /= np.maximum(np.linalg.norm(others, axis=1, keepdims=True), 1e-12)
    cosines: npt.NDArray[np.float64] = (rows * others).sum(axis=1)
    return cosines


def calibration(contents: Contents) -> Calibration | None:
    """The gallery's own, else what is known of its model."""
    return contents.calibration or calibration_of(contents.model)


def log_odds(contents: Contents) -> LogOdds | None:
    """What makes a cosine a probability; None where it was not measured."""
    known = calibration(contents)
    return known.odds if known else None


def threshold(contents: Contents, accept: float = DEFAULT_ACCEPT) -> Threshold | None:
    """From which cosine on a clip is the nearest person's.

    With twenty people or more, and clips enough for the share, each clip is a stranger's among the
    other people, and the threshold is a quantile of the largest cosines. Else it is that of the
    calibration for ``accept`` divided by the number of people; None: there is no calibration.

    Args:
        contents: the gallery.
        accept: the share of strangers who are let through.

    Raises:
        UsageError: an impossible share.
    """
    people = len(contents.people)
    strange = own_trials(contents).strange if people >= LEAST_PEOPLE else np.zeros(0)
    return threshold_of(contents, accept, people, strange)


def threshold_of(
    described: Contents, accept: float, people: int, strange: npt.NDArray[np.float64]
) -> Threshold | None:
    """See ``threshold``; the people may be elsewhere, and ``strange`` is that of their own trials.

    Raises:
        UsageError: an impossible share.
    """
    check_share(accept)
    if people >= LEAST_PEOPLE and len(strange) * accept >= _LEAST_ERRORS:
        return Threshold(float(np.quantile(strange, 1 - accept)), "people", accept, people)
    return of_calibration(described, accept, max(1, people))


def pair_threshold(contents: Contents, accept: float = DEFAULT_ACCEPT) -> Threshold | None:
    """From which cosine on a clip is one certain person's, or two clips are one person's.

    Raises:
        UsageError: an impossible share.
    """
    check_share(accept)
    return of_calibration(contents, accept, 1)


def of_calibration(contents: Contents, accept: float, people: int) -> Threshold | None:
    """The threshold for so many people; beyond what was measured, ``accept`` says what it is for.

    None: there is no calibration.
    """
    known = calibration(contents)
    if known is None:
        return None
    rate = max(accept / people, known.least)
    basis: Literal["strangers", "measured"] = "strangers" if contents.calibration else "measured"
    return Threshold(known.cosine(rate), basis, min(1.0, rate * people), known.speakers)


def check_share(accept: float) -> None:
    """Refuse what is no share.

    Raises:
        UsageError: it is none.
    """
    if not 0 < accept < 1:
        raise UsageError(f"accept must be a share between 0 and 1, not {accept}", "0.05 is 5 %")
