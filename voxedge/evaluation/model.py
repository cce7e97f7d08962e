"""The protocol of a model that can be evaluated: a model file, the network of a run, a baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from voxedge.audio.limits import Samples
from voxedge.inference.scoring import ClipScores, Key


class Model(Protocol):
    """Anything that identifies the speakers of clips."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The speakers that it was trained on, in class order."""

    @property
    def sample_rate(self) -> int:
        """Sample rate of its input, in Hz."""

    def score(self, clips: Iterable[tuple[Key, Samples]]) -> Iterator[ClipScores[Key]]:
        """Yield the scores of (key, samples [S]) pairs, in order."""
