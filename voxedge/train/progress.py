"""What the training loop tells whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Reporter(Protocol):
    """Who wants to know how training goes."""

    def step(self, progress: StepProgress) -> None:
        """After every step."""

    def epoch(self, row: dict[str, float], epochs: int) -> None:
        """After every epoch, with its line of history.csv."""


@dataclass(frozen=True)
class StepProgress:
    """Where the loop stands."""

    epoch: int  # counted from 1
    epochs: int
    step: int  # of the epoch, counted from 1
    steps: int
    loss: float  # mean of the epoch so far
    clips_per_second: float
    seconds_left: float
