"""Search for the people whose embeddings are nearest to a clip's.

Up to 100,000 people all are compared, which is exact. Beyond, ``neighbours.py`` proposes people,
and those alone are compared.

Shapes: Q clips, E embedding, P people, k people that are wanted.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from voxedge.gallery.people import Floats

#: People up to whom all are compared: 7 ms a clip on one core, 192 values each.
EXACT_UP_TO = 100_000


class Found(NamedTuple):
    """The nearest people of each clip, the nearest first."""

    cosines: Floats  # [Q, k]
    people: npt.NDArray[np.intp]  # [Q, k], rows of the index
    everyone: Floats | None = None  # [Q, P], the cosines with all rows, if all were compared


class Index(Protocol):
    """Finds the nearest rows."""

    def search(self, embeddings: Floats, k: int) -> Found:
        """The nearest ``k`` rows, or all if there are fewer, of unit embeddings [Q, E]."""


class ExactIndex:
    """Compares with every person: one product of matrices.

    Args:
        rows: [P, E], of unit length.
    """

    def __init__(self, rows: Floats) -> None:
        self._rows = np.ascontiguousarray(rows, np.float32)

    def search(self, embeddings: Floats, k: int) -> Found:
        """See ``Index``. Of equal cosines the person who was enrolled first comes first."""
        cosines = embeddings @ self._rows.T
        k = min(k, len(self._rows))
        people = np.stack([largest(row, k) for row in cosines])
        return Found(np.take_along_axis(cosines, people, axis=1), people, cosines)


def largest(values: Floats, k: int) -> npt.NDArray[np.intp]:
    """The places of the ``k`` largest values [P], in order, without sorting all of them."""
    least = np.partition(values, len(values) - k)[len(values) - k]
    candidates = np.flatnonzero(values >= least)
    return candidates[np.argsort(-values[candidates], kind="stable")][:k]
