"""VoxCeleb1 identification as a manifest: 1,251 speakers, many videos of each.

The corpus (Nagrani, Chung and Zisserman 2017, "VoxCeleb: a large-scale speaker identification
dataset") comes as ``wav/<speaker>/<video>/<utterance>.wav`` and a list, ``iden_split.txt``, that
puts every utterance in train (1), validation (2) or test (3). The list is only read: what is
trained on is a manifest beside it, so another choice of speakers or of split loses nothing. A new
split keeps whole videos apart by default: utterances of one video share microphone and room, and
a model that knows the room looks better than it is.

torchaudio is asked for the download alone: its dataset class knows neither sessions nor subsets of
speakers, and opens every list without checking it.
"""

from __future__ import annotations

import csv
import io
import os
import random
import re
from collections import Counter
from collections.abc import Iterable
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
    """What stands in the manifest, and what could not."""

    manifest: Path
    speakers: int
    utterances: dict[str, int]  # by split, all three of them
    leaking_videos: int  # (speaker, video) pairs that stand on more than one side
    missing: int  # files listed for the speakers looked at, and not there
    absent_speakers: tuple[str, ...]  # passed over: not one of their files is there


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
    resplit: bool = False,
    train_size: float = 0.6,
    val_size: float = 0.2,
    split_by: Literal["video", "utterance"] = "video",
    seed: int = 0,
    download: bool = False,
    manifest: Path | None = None,
) -> VoxCelebReport:
    """Write the manifest of VoxCeleb1 in ``dataset_dir`` and say what it holds.

    ``n_speakers`` takes the first speakers in the order of their ids, among those with audio.
    ``resplit`` replaces the official split by a new one, the same for the same ``seed``.
    ``download`` fetches what is not there yet.

    Raises:
        UsageError: impossible numbers, or a manifest that cannot stand where it is asked for.
        CorpusError: the audio or the list is missing, damaged, or could not be downloaded.
        MissingExtra: a download without torchaudio.
    """
    manifest = manifest or dataset_dir / MANIFEST_NAME
    if manifest.suffix.lower() != ".csv":
        raise UsageError(f"the manifest must be a .csv file, not {manifest}")
    if n_speakers is not None and not 2 <= n_speakers <= SPEAKERS:
        raise UsageError(f"{n_speakers} speakers asked for: VoxCeleb1 allows 2 to {SPEAKERS}")
    if split_by not in ("video", "utterance"):
        raise UsageError(f"split by video or by utterance, not by {split_by!r}")
    rest = round(1 - train_size - val_size, 9)
    if not (train_size > 0 and val_size > 0 and rest > 0):
        raise UsageError(
            f"train size {train_size} and validation size {val_size} leave no test split",
            "both must be above 0 and their sum below 1",
        )

    if download:
        _download(dataset_dir)
    try:
        listing, audio = _find(dataset_dir)
        if not (listing and audio):
            lacking = [LIST_NAME] * (not listing) + ["folder 'wav'"] * (not audio)
            raise CorpusError(
                f"no {' and no '.join(lacking)} in {dataset_dir}", _by_hand(dataset_dir)
            )
        if not manifest.parent.is_dir():
            raise UsageError(f"no folder {manifest.parent} to write the manifest in")
        speakers, absent, missing = _select(_read(listing), audio, n_speakers)
    except OSError as error:
        raise CorpusError(f"cannot read {dataset_dir}: {error}") from error
    if len(speakers) < 2:
        raise CorpusError(
            f"{len(speakers)} of the speakers in {listing} have audio in {audio}, it takes 2: "
            f"{missing:,} files are missing",
            _by_hand(dataset_dir),
        )
    if n_speakers is not None and len(speakers) < n_speakers:
        raise UsageError(f"{n_speakers} speakers asked for, {len(speakers)} have audio in {audio}")

    if resplit:
        shares = {"train": train_size, "test": rest, "validation": val_size}
        speakers = {
            speaker: _resplit(utterances, shares, split_by, random.Random(f"{seed}/{speaker}"))
            for speaker, utterances in speakers.items()
        }
    chosen = [utterance for utterances in speakers.values() for utterance in utterances]
    # Resolved, so that ".." means the same to the text and to the file system; "wav" itself may
    # well be a link to a larger disk, and stays one.
    root = dataset_dir.resolve() / audio.relative_to(dataset_dir)
    text = _table(chosen, os.path.relpath(root, manifest.parent.resolve()))
    try:
        with atomic_write(manifest) as file:
            file.write(text.encode(errors="surrogateescape"))  # as paths and read_manifest have it
    except OSError as error:
        raise VoxedgeError(f"cannot write {manifest}: {error}", "nothing was changed") from error
    counts = Counter(utterance.split for utterance in chosen)
    sides = Counter((s, v) for s, v, _ in {(u.speaker, u.video, u.split) for u in chosen})
    return VoxCelebReport(
        manifest=manifest,
        speakers=len(speakers),
        utterances={split: counts[split] for split in _SPLITS.values()},
        leaking_videos=sum(number > 1 for number in sides.values()),
        missing=missing,
        absent_speakers=tuple(absent),
    )


def _by_hand(folder: Path) -> str:
    return (
        "ask for VoxCeleb1 with the form at https://mm.kaist.ac.kr/datasets/voxceleb, unpack both "
        f"archives so that {folder / 'wav'} holds the speakers, and put the list at "
        f"{folder / LIST_NAME}"
    )


def _find(folder: Path) -> tuple[Path | None, Path | None]:
    """The list and the folder of speakers: as torchaudio lays them out, or all in one folder."""
    wav = folder / "wav"
    lists = (place / LIST_NAME for place in (folder, wav) if (place / LIST_NAME).is_file())
    bare = folder if any(folder.glob("id[0-9]*/")) else None
    return next(lists, None), wav if wav.is_dir() else bare


def _download(folder: Path) -> None:
    """Let torchaudio fetch what is not there: some 40 GB of audio, the list, or nothing at all."""
    listing, audio = _find(folder)
    if audio == folder or (listing and audio):  # it would not see speakers without "wav" above
        return
    try:
        from torchaudio.datasets import VoxCeleb1Identification
    except ImportError as error:
        hint = install_command("train")
        raise MissingExtra("downloading VoxCeleb1 needs torchaudio", hint) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)  # torchaudio does not
        VoxCeleb1Identification(root=folder, subset="train", download=True)
    except Exception as error:  # network, disk, checksum, archive: torchaudio wraps none of them
        raise CorpusError(
            f"VoxCeleb1 could not be downloaded: {type(error).__name__}: {error}",
            f"{_by_hand(folder)}; delete a wav folder that is half unpacked before you try again",
        ) from error


def _read(listing: Path) -> list[_Utterance]:
    """The list, all of it or nothing: one line that is not as it should be refuses the file."""
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


def _select(
    utterances: Iterable[_Utterance], audio: Path, n_speakers: int | None
) -> tuple[dict[str, list[_Utterance]], list[str], int]:
    """The first speakers that have audio, those passed over, and how many files are missing."""
    chosen: dict[str, list[_Utterance]] = {}
    absent: list[str] = []
    missing = 0
    for speaker, group in groupby(sorted(utterances), key=attrgetter("speaker")):
        if len(chosen) == n_speakers:
            break
        listed = list(group)
        there = [utterance for utterance in listed if (audio / utterance.path).is_file()]
        missing += len(listed) - len(there)
        if there:
            chosen[speaker] = there
        else:
            absent.append(speaker)
    return chosen, absent, missing


def _resplit(
    utterances: list[_Utterance], shares: dict[str, float], split_by: str, rng: random.Random
) -> list[_Utterance]:
    """Split one speaker anew, videos (or utterances) being indivisible.

    The largest goes first. Each is drawn into a side where it fits, with a probability in
    proportion to the utterances that the side still lacks; where it fits nowhere, it goes to the
    side that lacks most. The last ones are kept for sides that are still empty, so three videos are
    enough for three sides; two give train and test, and one gives train.
    """
    units: dict[str, list[_Utterance]] = {}
    for utterance in utterances:
        key = utterance.video if split_by == "video" else utterance.path
        units.setdefault(key, []).append(utterance)
    lacks = {side: shares[side] * len(utterances) for side in list(shares)[: len(units)]}
    empty = set(lacks)
    done: list[_Utterance] = []
    queue = sorted(units.values(), key=lambda unit: (len(unit), rng.random()))
    while queue:
        sides = [side for side in lacks if side in empty or len(queue) > len(empty)]
        unit = queue.pop()
        fitting = [side for side in sides if lacks[side] >= len(unit)]
        if fitting:
            side = rng.choices(fitting, weights=[lacks[side] for side in fitting])[0]
        else:
            side = max(sides, key=lambda side: (lacks[side], rng.random()))
        lacks[side] -= len(unit)
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
