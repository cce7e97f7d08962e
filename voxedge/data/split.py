"""Split a corpus into training, validation and test sides: without leaks, and stable as it grows.

Each unit (a session if the speaker has several, else a clip) has a fixed position in [0, 1): a hash
of the seed and of its name or samples. Units below ``train_size`` are for training, those below
``train_size + val_size`` for validation, the others for testing. So a clip stays on its side when
other clips are added, unlike in a shuffled split; in return the sizes are met only approximately.
The two thresholds are moved where a side would be empty, or where training would have less than its
share of a speaker: a few clips may then leave training when others are added.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from voxedge.data.clips import SIDES, Side
from voxedge.data.corpus import Entry
from voxedge.errors import CorpusError

_WHOLE = 1 - 1e-9  # sizes that sum to at least this leave no test side


@dataclass(frozen=True)
class Split:
    """The side of every clip, and how the split was made."""

    sides: dict[str, Side]  # clip name -> side
    by_session: int  # speakers split by session
    by_utterance: int  # speakers split within a session
    given: bool = False  # prescribed by the manifest

    def of(self, entries: Iterable[Entry], side: Side) -> list[Entry]:
        """Return the entries of one side."""
        return [entry for entry in entries if self.sides.get(entry.clip.name) == side]

    def describe(self) -> str:
        """Describe in one line how the corpus was split."""
        if self.given:
            return "split as the manifest says"
        parts = [
            f"{count} speaker{'s' * (count != 1)} by {unit}"
            for count, unit in ((self.by_session, "session"), (self.by_utterance, "utterance"))
            if count
        ]
        return "split " + ", ".join(parts)


def split_corpus(
    entries: Sequence[Entry], train_size: float, val_size: float, seed: int = 0
) -> Split:
    """Assign every clip to a side, speaker by speaker, or as the manifest prescribes.

    The same seed gives the same split, whatever the order of the clips. A speaker with two sessions
    is tested on the smaller one; the other is split by utterance into training and validation.
    Every speaker has at least one unit on each side, and at least ``train_size`` of its units,
    rounded down, in training.

    Args:
        entries: the usable clips of a corpus, without duplicates.
        train_size: share of the clips to train on.
        val_size: share of the clips to validate on; if the two sum to 1 there is no test side.
        seed: of the hash.

    Raises:
        CorpusError: a speaker has fewer than three clips or, in a split that the manifest
            prescribes, none to train on.
    """
    if all(entry.clip.split for entry in entries):
        return _given(entries)
    speakers: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        speakers[entry.clip.speaker].append(entry)
    sides: dict[str, Side] = {}
    by_session = 0
    with_test = train_size + val_size < _WHOLE
    for speaker, own in sorted(speakers.items()):
        if len(own) < 3:
            raise CorpusError(
                f"{speaker} has {len(own)} clips; three are needed, one for each side"
            )
        sessions = {entry.clip.session for entry in own}
        by_session += len(sessions) > (1 if with_test else 2)
        if len(sessions) >= 3:
            sides |= _cut(own, _session, train_size, val_size, seed)
        elif len(sessions) == 2 and with_test:
            larger = _larger_session(own, seed)
            sides |= {entry.clip.name: "test" for entry in own}  # the larger one is moved next
            share = train_size / (train_size + val_size)
            sides |= _cut(larger, _content, share, 1 - share, seed)
        else:
            sides |= _cut(own, _content, train_size, val_size, seed)
    result = Split(sides, by_session, len(speakers) - by_session)
    assert_no_leak(entries, result)
    return result


def assert_no_leak(entries: Iterable[Entry], split: Split) -> None:
    """Check that no two sides have the same audio and that every clip is on a side.

    Raises:
        CorpusError: a clip violates it.
    """
    seen: dict[str, Side] = {}
    for entry in entries:
        side = split.sides.get(entry.clip.name)
        if side is None or seen.setdefault(entry.digest, side) != side:
            raise CorpusError(f"the split leaks: {entry.clip.name} is on no side or on two")


def _cut(
    entries: list[Entry], key: Callable[[Entry], str], train: float, val: float, seed: int
) -> dict[str, Side]:
    """Cut the units, in order of their positions, at ``train`` and at ``train + val``.

    The cuts are moved so that no side is empty and training has at least its share.
    """
    units = sorted({key(entry) for entry in entries}, key=lambda unit: _position(unit, seed))
    positions = [_position(unit, seed) for unit in units]
    count = len(units)
    reserved = 1 if train + val < _WHOLE else 0  # for the test side
    first = bisect_left(positions, train)
    first = min(max(first, math.floor(train * count), 1), count - 1 - reserved)
    second = count
    if reserved:
        second = min(max(bisect_left(positions, train + val), first + 1), count - 1)
    rank = {unit: index for index, unit in enumerate(units)}

    def side(unit: str) -> Side:
        index = rank[unit]
        return SIDES[(index >= first) + (index >= second)]

    return {entry.clip.name: side(key(entry)) for entry in entries}


def _larger_session(own: list[Entry], seed: int) -> list[Entry]:
    """Return the entries of the larger of two sessions; of equal ones, the first by position."""
    units = sorted({_session(entry) for entry in own}, key=lambda unit: _position(unit, seed))
    sessions = [[entry for entry in own if _session(entry) == unit] for unit in units]
    return max(sessions, key=len)


def _session(entry: Entry) -> str:
    return f"{entry.clip.speaker}/{entry.clip.session}"


def _content(entry: Entry) -> str:
    return entry.digest


def _given(entries: Sequence[Entry]) -> Split:
    in_training = {entry.clip.speaker for entry in entries if entry.clip.split == "train"}
    for entry in entries:
        if entry.clip.speaker not in in_training:
            raise CorpusError(f"{entry.clip.speaker} has no clip in the manifest's train split")
    for side in ("train", "validation"):  # the test side is optional
        if not any(entry.clip.split == side for entry in entries):
            raise CorpusError(f"the manifest's split has no {side} clips")
    result = Split({e.clip.name: e.clip.split for e in entries if e.clip.split}, 0, 0, given=True)
    assert_no_leak(entries, result)
    return result


def _position(unit: str, seed: int) -> float:
    """Hash a unit to [0, 1)."""
    hashed = hashlib.sha256(f"{seed}\0{unit}".encode(errors="surrogateescape")).digest()
    return int.from_bytes(hashed[:8], "big") / 2**64
