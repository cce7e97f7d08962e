"""What the training loop reports while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Reporter(Protocol):
    """Gets the progress of a training."""

    def step(self, progress: StepProgress) -> None:
        """Called after every step."""

    def epoch(self, row: dict[str, float], epochs: int) -> None:
        """Called after every epoch, with its row of history.csv, and the number of all epochs."""

    def embedded(self, done: int, clips: int) -> None:
        """Called as a model file that is the trunk goes through clips and copies of them."""


@dataclass(frozen=True)
class StepProgress:
    """How far a training has come."""

    epoch: int  # counted from 1
    epochs: int
    step: int  # of the epoch, counted from 1
    steps: int
    loss: float  # mean of the epoch so far
    clips_per_second: float
    seconds_left: float
