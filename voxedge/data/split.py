"""Who is trained on, chosen by and tested on: splits that do not leak and do not jump.

Each unit (a session where a speaker has several, else a clip) gets a fixed number in [0, 1) from a
hash of the seed and its content or name; below 0.6 it is trained on, and so on. So a clip keeps its
side when others are added, which a shuffled split never does; the price is that a speaker's shares
are only near the ones asked for. Cuts are moved where a side would else be empty, or training have
less than its share of a speaker: a few clips may then leave training when others are added.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from voxedge.data.corpus import Entry
from voxedge.data.manifest import SIDES, Side
from voxedge.errors import CorpusError

_WHOLE = 1 - 1e-9  # two sizes beyond that leave nothing


@dataclass(frozen=True)
class Split:
    """Clip name -> side, and how it came about."""

    sides: dict[str, Side]
    by_session: int  # speakers whose sides differ in session
    by_utterance: int  # speakers whose sides share a session
    given: bool = False  # the corpus's own

    def of(self, entries: Iterable[Entry], side: Side) -> list[Entry]:
        """The entries of one side."""
        return [entry for entry in entries if self.sides.get(entry.clip.name) == side]

    def describe(self) -> str:
        """One line for people."""
        if self.given:
            return "split as the manifest says"
        parts = [
            f"{count} speaker{'s' * (count != 1)} by {unit}"
            for count, unit in ((self.by_session, "session"), (self.by_utterance, "utterance"))
            if count
        ]
        return "split " + ", ".join(parts)


def split_corpus(
    entries: Sequence[Entry], train_size: float = 0.6, val_size: float = 0.2, seed: int = 0
) -> Split:
    """Put every clip on one side, speaker by speaker.

    The same seed gives the same split, whatever the order; clips of equal content share a side.
    A speaker with two sessions is tested on the smaller; the other is split by utterance into
    training and validation. Every speaker has at least one unit on each side, and at least its
    share, rounded down, in training. Where the sizes make up 1 there is no test side.

    Raises:
        CorpusError: a speaker with fewer than three clips, or (for a given split) none in training.
    """
    if all(entry.clip.split for entry in entries):
        return _given(entries)
    speakers: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        speakers[entry.clip.speaker].append(entry)
    sides: dict[str, Side] = {}
    by_session = 0
    tested = train_size + val_size < _WHOLE
    for speaker, own in sorted(speakers.items()):
        if len(own) < 3:
            raise CorpusError(f"{speaker} has {len(own)} clips; three are needed, one a side")
        sessions = {entry.clip.session for entry in own}
        by_session += len(sessions) > (1 if tested else 2)
        if len(sessions) >= 3:
            sides |= _cut(own, _session, train_size, val_size, seed)
        elif len(sessions) == 2 and tested:
            rest = _larger_rest(own, seed)
            sides |= {entry.clip.name: "test" for entry in own}
            share = train_size / (train_size + val_size)
            sides |= _cut(rest, _content, share, 1 - share, seed)
        else:
            sides |= _cut(own, _content, train_size, val_size, seed)
    result = Split(sides, by_session, len(speakers) - by_session)
    assert_no_leak(entries, result)
    return result


def assert_no_leak(entries: Iterable[Entry], split: Split) -> None:
    """Refuse a split with equal audio on two sides, or a clip on none.

    Raises:
        CorpusError: there is such a clip.
    """
    seen: dict[str, Side] = {}
    for entry in entries:
        side = split.sides.get(entry.clip.name)
        if side is None or seen.setdefault(entry.digest, side) != side:
            raise CorpusError(f"the split leaks: {entry.clip.name} stands on no side or on two")


def _cut(
    entries: list[Entry], key: Callable[[Entry], str], train: float, val: float, seed: int
) -> dict[str, Side]:
    """Units in the order of their hash, cut at the hash's own value or where a side would be empty.

    With ``train + val == 1`` there is no test side.
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


def _larger_rest(own: list[Entry], seed: int) -> list[Entry]:
    """Of two sessions the larger one, to train and validate on; between equals the hash decides."""
    units = sorted({_session(entry) for entry in own}, key=lambda unit: _position(unit, seed))
    rests = [[entry for entry in own if _session(entry) == unit] for unit in units]
    return max(rests, key=len)


def _session(entry: Entry) -> str:
    return f"{entry.clip.speaker}/{entry.clip.session}"


def _content(entry: Entry) -> str:
    return entry.digest


def _given(entries: Sequence[Entry]) -> Split:
    trained = {entry.clip.speaker for entry in entries if entry.clip.split == "train"}
    for entry in entries:
        if entry.clip.speaker not in trained:
            raise CorpusError(f"{entry.clip.speaker} has no clip in the manifest's train split")
    for side in ("train", "validation"):  # without a test side nothing is tested
        if not any(entry.clip.split == side for entry in entries):
            raise CorpusError(f"the manifest's split has no {side} clips")
    result = Split({e.clip.name: e.clip.split for e in entries if e.clip.split}, 0, 0, given=True)
    assert_no_leak(entries, result)
    return result


def _position(unit: str, seed: int) -> float:
    hashed = hashlib.sha256(f"{seed}\0{unit}".encode(errors="surrogateescape")).digest()
    return int.from_bytes(hashed[:8], "big") / 2**64
