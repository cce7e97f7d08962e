"""Name clips after the people of a gallery: the nearest, or nobody below the threshold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from voxedge.errors import EmptyGallery, UsageError
from voxedge.gallery.people import Contents
from voxedge.gallery.search import ExactIndex
from voxedge.inference.prediction import Match, Prediction, Threshold

#: Gives an embedded clip its matches and, from the threshold on, a name.
Recogniser: TypeAlias = Callable[[Prediction], Prediction]


def recogniser(contents: Contents, line: Threshold | None, top_k: int, gallery: str) -> Recogniser:
    """A recogniser of the people of a gallery.

    Args:
        contents: the gallery.
        line: the threshold; without one nobody is named.
        top_k: how many people to return.
        gallery: its name, for people.

    Raises:
        EmptyGallery: nobody is enrolled.
        UsageError: an impossible number.
    """
    if top_k < 1:
        raise UsageError(f"top_k must be at least 1, not {top_k}")
    if not contents.people:
        raise EmptyGallery(f"nobody is enrolled in {gallery}", "voxedge enroll NAME CLIP...")
    index, names = ExactIndex(contents.means), contents.names

    def recognise(embedded: Prediction) -> Prediction:
        if embedded.embedding is None:  # a clip without speech, as its reason says
            return replace(embedded, matches=(), threshold=line)
        found = index.search(embedded.embedding[None], top_k)
        matches = tuple(
            Match(names[row], float(cosine))
            for cosine, row in zip(found.cosines[0], found.people[0], strict=True)
        )
        reason = _reason(matches[0].cosine, line)
        speaker = None if reason else matches[0].speaker
        return replace(embedded, speaker=speaker, reason=reason, matches=matches, threshold=line)

    return recognise


def _reason(cosine: float, line: Threshold | None) -> str | None:
    """Why the nearest person is not named."""
    if line is None:
        return "no_threshold"
    return "unknown" if cosine < line.cosine else None
