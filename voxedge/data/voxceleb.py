"""Write a manifest of VoxCeleb1 identification: 1,251 speakers, many videos of each.

The corpus (Nagrani, Chung and Zisserman 2017, "VoxCeleb: a large-scale speaker identification
dataset") comes as ``wav/<speaker>/<video>/<utterance>.wav`` and a list, ``iden_split.txt``, that
assigns every utterance to train (1), validation (2) or test (3). The list is never changed: the
choice of speakers and of a split is written to a manifest next to it. A new split keeps the
utterances of a video together by default: they share microphone and room, and a model that
recognises the room would look better than it is.

torchaudio is used for the download only: its dataset class supports neither sessions nor subsets of
speakers, and does not check the list.
"""

from __future__ import annotations

import csv
import io
import os
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from voxedge.errors import CorpusError, MissingExtra, UsageError, VoxedgeError
from voxedge.files import atomic_write
from voxedge.install import install_command

SPEAKERS = 1251
LIST_NAME = "iden_split.txt"
MANIFEST_NAME = "voxceleb1.csv"

_SPLITS = {"1": "train", "2": "validation", "3": "test"}
_NAME = r"(?!\.)[\w.'-]+"  # never ".." nor a hidden file
_LINE = re.compile(rf"([123])\s+({_NAME})/({_NAME})/({_NAME}\.wav)")


@dataclass(frozen=True)
class VoxCelebReport:
    """What the manifest contains, and which files were missing."""

    manifest: Path
    speakers: int
    utterances: dict[str, int]  # side -> utterances, for all three sides
    leaking_videos: int  # (speaker, video) pairs that are on more than one side
    missing: int  # listed files of the speakers considered that do not exist
    absent_speakers: tuple[str, ...]  # skipped, because none of their files exists


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


class _Selection(NamedTuple):
    speakers: dict[str, list[_Utterance]]  # those with audio, and the utterances that exist
    absent: tuple[str, ...]  # speakers without any audio
    missing: int  # listed files that do not exist


class _Utterance(NamedTuple):
    speaker: str
    video: str
    name: str
    split: str

    @property
    def path(self) -> str:
        return f"{self.speaker}/{self.video}/{self.name}"


def arrange_voxceleb1(
    dataset_dir: Path,
    *,
    n_speakers: int | None = None,
    new_split: NewSplit | None = None,
    download: bool = False,
    manifest: Path | None = None,
) -> VoxCelebReport:
    """Write the manifest of VoxCeleb1 and report what it contains.

    Args:
        dataset_dir: the folder of ``wav/`` and ``iden_split.txt``.
        n_speakers: take only this many of the speakers with audio, the first in order of their ids.
        new_split: split every speaker's utterances anew; the official split if None.
        download: fetch what is missing first.
        manifest: the CSV file to write; ``voxceleb1.csv`` in ``dataset_dir`` if None.

    Raises:
        UsageError: there are not that many speakers, or the manifest cannot be written there.
        CorpusError: the audio or the list is missing, damaged, or could not be downloaded.
        MissingExtra: ``download`` without torchaudio.
        VoxedgeError: writing the manifest failed.
    """
    manifest = manifest or dataset_dir / MANIFEST_NAME
    if manifest.suffix.lower() != ".csv":
        raise UsageError(f"the manifest must be a .csv file, not {manifest}")
    if n_speakers is not None and not 2 <= n_speakers <= SPEAKERS:
        raise UsageError(f"{n_speakers} speakers asked for: VoxCeleb1 allows 2 to {SPEAKERS}")
    if download:
        _download(dataset_dir)
    try:
        listing, audio = _locate(dataset_dir)
        if not manifest.parent.is_dir():
            raise UsageError(f"no folder {manifest.parent} to write the manifest in")
        chosen = _select(_read(listing), audio, n_speakers)
    except OSError as error:
        raise CorpusError(f"cannot read {dataset_dir}: {error}") from error
    if len(chosen.speakers) < 2:
        raise CorpusError(
            f"{len(chosen.speakers)} of the speakers in {listing} have audio in {audio}, but at"
            f" least 2 are needed: {chosen.missing:,} files are missing",
            _by_hand(dataset_dir),
        )
    if n_speakers is not None and len(chosen.speakers) < n_speakers:
        raise UsageError(
            f"{n_speakers} speakers asked for, {len(chosen.speakers)} have audio in {audio}"
        )
    speakers = _split_anew(chosen.speakers, new_split) if new_split else chosen.speakers
    utterances = [utterance for own in speakers.values() for utterance in own]
    # dataset_dir is resolved, so that ".." means the same in the text as in the file system. "wav"
    # itself is not, as it may well be a link to a larger disk.
    root = dataset_dir.resolve() / audio.relative_to(dataset_dir)
    _write(manifest, _table(utterances, os.path.relpath(root, manifest.parent.resolve())))
    return _report(manifest, utterances, chosen)


def _report(manifest: Path, utterances: Sequence[_Utterance], chosen: _Selection) -> VoxCelebReport:
    counts = Counter(utterance.split for utterance in utterances)
    sides = Counter((s, v) for s, v, _ in {(u.speaker, u.video, u.split) for u in utterances})
    return VoxCelebReport(
        manifest=manifest,
        speakers=len(chosen.speakers),
        utterances={split: counts[split] for split in _SPLITS.values()},
        leaking_videos=sum(number > 1 for number in sides.values()),
        missing=chosen.missing,
        absent_speakers=chosen.absent,
    )


def _write(manifest: Path, text: str) -> None:
    try:
        with atomic_write(manifest) as file:
            file.write(text.encode(errors="surrogateescape"))  # as read_manifest decodes it
    except OSError as error:
        raise VoxedgeError(f"cannot write {manifest}: {error}", "nothing was changed") from error


def _by_hand(folder: Path) -> str:
    return (
        "ask for VoxCeleb1 with the form at https://mm.kaist.ac.kr/datasets/voxceleb, unpack both "
        f"archives so that {folder / 'wav'} holds the speakers, and put the list at "
        f"{folder / LIST_NAME}"
    )


def _locate(folder: Path) -> tuple[Path, Path]:
    listing, audio = _find(folder)
    if listing and audio:
        return listing, audio
    missing = [LIST_NAME] * (not listing) + ["folder 'wav'"] * (not audio)
    raise CorpusError(f"no {' and no '.join(missing)} in {folder}", _by_hand(folder))


def _find(folder: Path) -> tuple[Path | None, Path | None]:
    """Find the list and the folder of speakers: in torchaudio's layout, or all in one folder."""
    wav = folder / "wav"
    lists = (place / LIST_NAME for place in (folder, wav) if (place / LIST_NAME).is_file())
    bare = folder if any(folder.glob("id[0-9]*/")) else None
    return next(lists, None), wav if wav.is_dir() else bare


def _download(folder: Path) -> None:
    """Let torchaudio fetch what is missing: some 40 GB of audio, the list, or nothing at all."""
    listing, audio = _find(folder)
    if audio == folder or (listing and audio):  # torchaudio finds speakers only in "wav"
        return
    try:
        from torchaudio.datasets import VoxCeleb1Identification
    except ImportError as error:
        hint = install_command("train")
        raise MissingExtra("downloading VoxCeleb1 needs torchaudio", hint) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)  # torchaudio does not make it
        VoxCeleb1Identification(root=folder, subset="train", download=True)
    except Exception as error:  # network, disk, checksum, archive: torchaudio wraps none of them
        raise CorpusError(
            f"VoxCeleb1 could not be downloaded: {type(error).__name__}: {error}",
            f"{_by_hand(folder)}; delete an incomplete wav folder before you try again",
        ) from error


def _read(listing: Path) -> list[_Utterance]:
    """Read the list; a single malformed line is an error."""
    first_seen: dict[str, int] = {}
    utterances = []
    with listing.open("rb") as file:
        for number, raw in enumerate(file, 1):
            line = raw.decode("utf-8-sig", "replace").strip()
            if not line:
                continue
            match = _LINE.fullmatch(line)
            if not match:
                raise CorpusError(
                    f"{listing}:{number}: malformed line {line[:80]!r}",
                    "expected '1 id10001/1zcIwhmdeo4/00001.wav', with 1, 2 or 3 in front",
                )
            side, speaker, video, name = match.groups()
            utterance = _Utterance(speaker, video, name, _SPLITS[side])
            before = first_seen.setdefault(utterance.path, number)
            if before != number:
                raise CorpusError(f"{listing}:{number}: {utterance.path} is in line {before} too")
            utterances.append(utterance)
    return utterances


def _select(utterances: Iterable[_Utterance], audio: Path, n_speakers: int | None) -> _Selection:
    """Choose the first speakers that have audio."""
    chosen: dict[str, list[_Utterance]] = {}
    absent: list[str] = []
    missing = 0
    for speaker, group in groupby(sorted(utterances), key=attrgetter("speaker")):
        if len(chosen) == n_speakers:
            break
        listed = list(group)
        existing = [utterance for utterance in listed if (audio / utterance.path).is_file()]
        missing += len(listed) - len(existing)
        if existing:
            chosen[speaker] = existing
        else:
            absent.append(speaker)
    return _Selection(chosen, tuple(absent), missing)


def _split_anew(
    speakers: dict[str, list[_Utterance]], split: NewSplit
) -> dict[str, list[_Utterance]]:
    """Split each speaker on its own, so that a speaker's split does not depend on the others."""
    sizes = {"train": split.train_size, "test": split.test_size, "validation": split.val_size}
    return {
        speaker: _split_speaker(
            utterances, sizes, split.split_by, random.Random(f"{split.seed}/{speaker}")
        )
        for speaker, utterances in speakers.items()
    }


def _split_speaker(
    utterances: list[_Utterance], sizes: dict[str, float], split_by: str, rng: random.Random
) -> list[_Utterance]:
    """Split the utterances of one speaker, videos (or utterances) being indivisible.

    The largest unit goes first. Each is drawn into one of the sides that have room for it, with a
    probability in proportion to that room; if none has, it goes to the side with the most room. The
    last units are reserved for sides that are still empty, so three videos suffice for three sides;
    two give train and test, and one gives train.
    """
    units: dict[str, list[_Utterance]] = {}
    for utterance in utterances:
        key = utterance.video if split_by == "video" else utterance.path
        units.setdefault(key, []).append(utterance)
    room = {side: sizes[side] * len(utterances) for side in list(sizes)[: len(units)]}
    empty = set(room)
    done: list[_Utterance] = []
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


def _table(utterances: Iterable[_Utterance], prefix: str) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("path", "speaker", "session", "split"))
    folder = PurePosixPath(Path(prefix).as_posix())
    rows.writerows((folder / u.path, u.speaker, u.video, u.split) for u in utterances)
    return text.getvalue()
