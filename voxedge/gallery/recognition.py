"""Name clips after the people of a gallery: the nearest, or nobody below the threshold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np

from voxedge.errors import EmptyGallery, UsageError
from voxedge.gallery.calibration import LogOdds
from voxedge.gallery.people import Floats
from voxedge.gallery.search import Index
from voxedge.inference.open_set import probability
from voxedge.inference.prediction import Match, Prediction, Score, Threshold

#: Gives an embedded clip its matches and, from the threshold on, a name.
Recogniser: TypeAlias = Callable[[Prediction], Prediction]


class Nearest(NamedTuple):
    """The people nearest to a clip, the nearest first."""

    matches: tuple[Match, ...]
    everyone: Floats | None  # [P], the cosines with all people, if all were compared


#: Finds the nearest k people of an embedding [E] of unit length.
Search: TypeAlias = Callable[[Floats, int], Nearest]


def search_of(index: Index, names: Sequence[str]) -> Search:
    """Search in an index whose rows have names."""

    def search(embedding: Floats, k: int) -> Nearest:
        found = index.search(embedding[None], k)
        pairs = zip(found.cosines[0], found.people[0], strict=True)
        matches = tuple(Match(names[row], float(cosine)) for cosine, row in pairs)
        return Nearest(matches, None if found.everyone is None else found.everyone[0])

    return search


def recogniser(
    search: Search, people: int, line: Threshold | None, odds: LogOdds | None, top_k: int
) -> Recogniser:
    """A recogniser of the people of a gallery.

    Args:
        search: finds the nearest of them.
        people: how many there are; not 0.
        line: the threshold; without one nobody is named.
        odds: what makes a cosine a probability, if it was measured.
        top_k: how many people to return.

    Raises:
        UsageError: an impossible number.
    """
    if top_k < 1:
        raise UsageError(f"top_k must be at least 1, not {top_k}")
    known = None if odds is None else partial(_known, odds, people)
    least_known = known(line.cosine) if known and line else None

    def recognise(embedded: Prediction) -> Prediction:
        if embedded.embedding is None:  # a clip without speech, as its reason says
            return replace(embedded, matches=(), threshold=line)
        nearest = search(embedded.embedding, top_k)
        matches = nearest.matches
        reason = _reason(matches[0].cosine, line)
        return replace(
            embedded,
            speaker=None if reason else matches[0].speaker,
            reason=reason,
            predictions=_scores(nearest, odds),
            known=known(matches[0].cosine) if known else None,
            least_known=least_known,
            matches=matches,
            threshold=line,
        )

    return recognise


def require_people(people: int, gallery: str) -> None:
    """Refuse a gallery in which nobody is enrolled.

    Raises:
        EmptyGallery: nobody is.
    """
    if not people:
        raise EmptyGallery(f"nobody is enrolled in {gallery}", "voxedge enroll NAME CLIP...")


def _known(odds: LogOdds, people: int, cosine: float) -> float:
    """The probability that a clip is of one of the people, by its largest cosine."""
    return probability(odds.of(cosine, people))


def _scores(nearest: Nearest, odds: LogOdds | None) -> tuple[Score, ...]:
    """The probability of each match among all people, if the cosines with all are known."""
    if odds is None or nearest.everyone is None:
        return ()
    together = np.exp(odds.scale * (nearest.everyone.astype(np.float64) - 1)).sum()
    return tuple(
        Score(name, float(np.exp(odds.scale * (cosine - 1)) / together))
        for name, cosine in nearest.matches
    )


def _reason(cosine: float, line: Threshold | None) -> str | None:
    """Why the nearest person is not named."""
    if line is None:
        return "no_threshold"
    return "unknown" if cosine < line.cosine else None
