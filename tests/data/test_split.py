from __future__ import annotations

import random
from pathlib import Path

import pytest

from voxedge.data.clips import SIDES, Clip
from voxedge.data.corpus import Entry
from voxedge.data.split import Split, assert_no_leak, split_corpus
from voxedge.errors import CorpusError

SIZES = (0.6, 0.2)  # training and validation


def entry(speaker: str, number: int, session: str = "", side=None, digest: str = "") -> Entry:
    name = f"{speaker}/{session}/{number}.wav"
    return Entry(Clip(Path(name), name, speaker, session, side), 3.0, 16_000, digest or name)


def corpus(speakers: int, clips: int, sessions: int = 1) -> list[Entry]:
    return [
        entry(f"s{s}", c, f"day{c % sessions}" if sessions > 1 else "")
        for s in range(speakers)
        for c in range(clips)
    ]


def test_sizes_are_met_approximately():
    entries = corpus(100, 20)
    split = split_corpus(entries, *SIZES)
    shares = [len(split.of(entries, side)) / len(entries) for side in SIDES]
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.06)


@pytest.mark.parametrize("clips", [3, 4, 6, 12])
def test_every_speaker_is_on_every_side_with_its_share_in_training(clips):
    entries = corpus(50, clips)
    split = split_corpus(entries, *SIZES)
    for speaker in {e.clip.speaker for e in entries}:
        own = [e for e in entries if e.clip.speaker == speaker]
        counts = [len(split.of(own, side)) for side in SIDES]
        assert min(counts) >= 1
        assert counts[0] >= int(0.6 * clips)


def test_same_seed_same_split_in_any_order():
    entries = corpus(20, 10)
    shuffled = random.Random(1).sample(entries, len(entries))
    sides = split_corpus(entries, *SIZES, seed=5).sides
    assert split_corpus(shuffled, *SIZES, seed=5).sides == sides
    assert split_corpus(entries, *SIZES, seed=6).sides != sides


def test_clips_keep_their_side_when_others_are_added():
    few, many = corpus(40, 16), corpus(40, 32)
    before, after = split_corpus(few, *SIZES).sides, split_corpus(many, *SIZES).sides
    moved = [(side, after[name]) for name, side in before.items() if after[name] != side]
    assert len(moved) <= 0.05 * len(before)  # where a cut was moved, to train on enough clips
    assert moved.count(("train", "test")) <= 0.005 * len(before)


def test_clips_keep_their_side_when_they_are_renamed():
    before = split_corpus([entry("s", n, digest=f"d{n}") for n in range(12)], *SIZES).sides
    after = split_corpus([entry("s", n + 50, digest=f"d{n}") for n in range(12)], *SIZES).sides
    assert list(before.values()) == list(after.values())


@pytest.mark.parametrize("sessions", [3, 5])
def test_no_session_is_on_two_sides(sessions):
    entries = corpus(30, 20, sessions)
    split = split_corpus(entries, *SIZES)
    sides: dict[tuple[str, str], set[str]] = {}
    for e in entries:
        sides.setdefault((e.clip.speaker, e.clip.session), set()).add(split.sides[e.clip.name])
    assert all(len(found) == 1 for found in sides.values())
    assert split.describe() == "split 30 speakers by session"


def test_one_of_two_sessions_is_the_test_side():
    entries = corpus(30, 20, 2)
    split = split_corpus(entries, *SIZES)
    for speaker in {e.clip.speaker for e in entries}:
        own = [e for e in entries if e.clip.speaker == speaker]
        tested = {e.clip.session for e in split.of(own, "test")}
        assert len(tested) == 1
        assert tested.isdisjoint(e.clip.session for e in own if e not in split.of(own, "test"))
        assert split.of(own, "train")
        assert split.of(own, "validation")


def test_the_shorter_of_two_sessions_is_the_test_side():
    for seed in range(10):
        entries = [entry("a", n, "long") for n in range(50)] + [
            entry("a", 99 + n, "short") for n in (1, 2)
        ]
        split = split_corpus(entries, *SIZES, seed=seed)
        assert {e.clip.session for e in split.of(entries, "test")} == {"short"}
        assert len(split.of(entries, "train")) > 25


def test_speakers_with_one_session_are_split_by_utterance():
    entries = corpus(3, 10) + [entry("far", n, f"day{n % 3}") for n in range(9)]
    split = split_corpus(entries, *SIZES)
    assert split.describe() == "split 1 speaker by session, 3 speakers by utterance"


def test_a_prescribed_split_is_kept():
    entries = [entry("a", n, side=SIDES[n % 3]) for n in range(6)]
    entries += [entry("b", n, side=SIDES[n % 3]) for n in range(6)]
    split = split_corpus(entries, *SIZES)
    assert all(split.sides[e.clip.name] == e.clip.split for e in entries)
    assert split.describe() == "split as the manifest says"


def test_a_prescribed_split_must_train_every_speaker():
    entries = [entry("a", n, side=SIDES[n % 3]) for n in range(6)] + [entry("b", 1, side="test")]
    with pytest.raises(CorpusError, match="b has no clip in the manifest's train split"):
        split_corpus(entries, *SIZES)


def test_the_same_audio_on_two_sides_is_an_error():
    entries = [entry("a", 1, digest="same"), entry("a", 2, digest="same")]
    leaking = Split({entries[0].clip.name: "train", entries[1].clip.name: "test"}, 0, 1)
    with pytest.raises(CorpusError, match="leaks"):
        assert_no_leak(entries, leaking)


def test_two_clips_are_too_few():
    with pytest.raises(CorpusError, match="three are needed"):
        split_corpus([entry("a", 1), entry("a", 2)], *SIZES)


@pytest.mark.parametrize("sessions", [1, 2, 4])
def test_sizes_that_sum_to_one_leave_no_test_side(sessions):
    entries = corpus(30, 12, sessions)
    split = split_corpus(entries, 0.75, 0.25)
    counts = [len(split.of(entries, side)) for side in SIDES]
    assert counts[0] > counts[1] > 0
    assert counts[2] == 0
    assert split.by_session == (30 if sessions == 4 else 0)
