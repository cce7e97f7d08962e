"""What can be measured: a model file, a run's network and a rival all meet this protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from voxedge.audio.limits import Samples
from voxedge.inference.scoring import ClipScores, Key


class Model(Protocol):
    """Anything that names the speakers of clips."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The speakers it knows, in class order."""

    @property
    def sample_rate(self) -> int:
        """Hz, of the samples that it takes."""

    def score(self, clips: Iterable[tuple[Key, Samples]]) -> Iterator[ClipScores[Key]]:
        """Scores of (key, samples [S]), in order."""
