"""A random split of utterances that are grouped by speaker and by video.

The utterances of a video are kept together by default: they share microphone and room, and a model
that recognises the room would look better than it is.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, NamedTuple

from voxedge.errors import UsageError


@dataclass(frozen=True)
class NewSplit:
    """A random split to use instead of the official one.

    Args:
        train_size: share of the utterances to train on.
        val_size: share of the utterances to validate on; the others are for testing.
        split_by: what is never divided: a video, or no more than an utterance.
        seed: the same seed gives the same split.

    Raises:
        UsageError: a side would be empty, or ``split_by`` is unknown.
    """

    train_size: float = 0.6
    val_size: float = 0.2
    split_by: Literal["video", "utterance"] = "video"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.split_by not in ("video", "utterance"):
            raise UsageError(f"split by video or by utterance, not by {self.split_by!r}")
        if not (self.train_size > 0 and self.val_size > 0 and self.test_size > 0):
            raise UsageError(
                f"train size {self.train_size} and validation size {self.val_size} leave no test"
                " split",
                "both must be above 0 and their sum below 1",
            )

    @property
    def test_size(self) -> float:
        """Share of the utterances to test on."""
        return round(1 - self.train_size - self.val_size, 9)


class Utterance(NamedTuple):
    """A file of VoxCeleb, and its side of a split."""

    speaker: str
    video: str
    name: str
    split: str

    @property
    def path(self) -> str:
        """Relative to the folder of the audio."""
        return f"{self.speaker}/{self.video}/{self.name}"


def split_anew(speakers: dict[str, list[Utterance]], split: NewSplit) -> dict[str, list[Utterance]]:
    """Split each speaker on its own, so that a speaker's split does not depend on the others."""
    sizes = {"train": split.train_size, "test": split.test_size, "validation": split.val_size}
    return {
        speaker: _split_speaker(
            utterances, sizes, split.split_by, random.Random(f"{split.seed}/{speaker}")
        )
        for speaker, utterances in speakers.items()
    }


def _split_speaker(
    utterances: list[Utterance], sizes: dict[str, float], split_by: str, rng: random.Random
) -> list[Utterance]:
    """Split the utterances of one speaker, videos (or utterances) being indivisible.

    The largest unit goes first. Each is drawn into one of the sides that have room for it, with a
    probability in proportion to that room; if none has, it goes to the side with the most room. The
    last units are reserved for sides that are still empty, so three videos suffice for three sides;
    two give train and test, and one gives train.
    """
    units: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        key = utterance.video if split_by == "video" else utterance.path
        units.setdefault(key, []).append(utterance)
    room = {side: sizes[side] * len(utterances) for side in list(sizes)[: len(units)]}
    empty = set(room)
    done: list[Utterance] = []
    queue = sorted(units.values(), key=lambda unit: (len(unit), rng.random()))
    while queue:
        sides = [side for side in room if side in empty or len(queue) > len(empty)]
        unit = queue.pop()
        fitting = [side for side in sides if room[side] >= len(unit)]
        if fitting:
            side = rng.choices(fitting, weights=[room[side] for side in fitting])[0]
        else:
            side = max(sides, key=lambda side: (room[side], rng.random()))
        room[side] -= len(unit)
        empty.discard(side)
        done += [utterance._replace(split=side) for utterance in unit]
    return sorted(done)
