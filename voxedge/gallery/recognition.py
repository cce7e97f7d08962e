"""Name clips after the people of a gallery: the nearest, or nobody below the threshold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np

from voxedge.errors import EmptyGallery, UsageError
from voxedge.gallery.calibration import LogOdds
from voxedge.gallery.people import Contents
from voxedge.gallery.search import Found, Index
from voxedge.gallery.thresholds import log_odds
from voxedge.inference.open_set import probability
from voxedge.inference.prediction import Match, Prediction, Score, Threshold

#: Gives an embedded clip its matches and, from the threshold on, a name.
Recogniser: TypeAlias = Callable[[Prediction], Prediction]


def recogniser(
    contents: Contents, index: Index, line: Threshold | None, top_k: int, gallery: str
) -> Recogniser:
    """A recogniser of the people of a gallery.

    Args:
        contents: the gallery.
        index: of its people.
        line: the threshold; without one nobody is named.
        top_k: how many people to return.
        gallery: its name, for people.

    Raises:
        EmptyGallery: nobody is enrolled.
        UsageError: an impossible number.
    """
    if top_k < 1:
        raise UsageError(f"top_k must be at least 1, not {top_k}")
    require_people(contents, gallery)
    names, odds = contents.names, log_odds(contents)
    known = None if odds is None else partial(_known, odds, len(names))
    least_known = known(line.cosine) if known and line else None

    def recognise(embedded: Prediction) -> Prediction:
        if embedded.embedding is None:  # a clip without speech, as its reason says
            return replace(embedded, matches=(), threshold=line)
        found = index.search(embedded.embedding[None], top_k)
        matches = tuple(
            Match(names[row], float(cosine))
            for cosine, row in zip(found.cosines[0], found.people[0], strict=True)
        )
        reason = _reason(matches[0].cosine, line)
        return replace(
            embedded,
            speaker=None if reason else matches[0].speaker,
            reason=reason,
            predictions=_scores(matches, found, odds),
            known=known(matches[0].cosine) if known else None,
            least_known=least_known,
            matches=matches,
            threshold=line,
        )

    return recognise


def require_people(contents: Contents, gallery: str) -> None:
    """Refuse a gallery in which nobody is enrolled.

    Raises:
        EmptyGallery: nobody is.
    """
    if not contents.people:
        raise EmptyGallery(f"nobody is enrolled in {gallery}", "voxedge enroll NAME CLIP...")


def _known(odds: LogOdds, people: int, cosine: float) -> float:
    """The probability that a clip is of one of the people, by its largest cosine."""
    return probability(odds.of(cosine, people))


def _scores(matches: tuple[Match, ...], found: Found, odds: LogOdds | None) -> tuple[Score, ...]:
    """The probability of each match among all people, if the cosines with all are known."""
    if odds is None or found.everyone is None:
        return ()
    together = np.exp(odds.scale * (found.everyone[0].astype(np.float64) - 1)).sum()
    return tuple(
        Score(name, float(np.exp(odds.scale * (cosine - 1)) / together)) for name, cosine in matches
    )


def _reason(cosine: float, line: Threshold | None) -> str | None:
    """Why the nearest person is not named."""
    if line is None:
        return "no_threshold"
    return "unknown" if cosine < line.cosine else None
