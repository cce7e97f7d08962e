"""Write a manifest of VoxCeleb1 identification: 1,251 speakers, many videos of each.

The corpus (Nagrani, Chung and Zisserman 2017, "VoxCeleb: a large-scale speaker identification
dataset") comes as ``wav/<speaker>/<video>/<utterance>.wav`` and a list, ``iden_split.txt``, that
assigns every utterance to train (1), validation (2) or test (3). The list is never changed: the
choice of speakers and of a split is written to a manifest next to it.

torchaudio is used for the download only: its dataset class supports neither sessions nor subsets of
speakers, and does not check the list.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from voxedge.data.resplit import NewSplit, Utterance, split_anew
from voxedge.data.trials import read_trials
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


class _Selection(NamedTuple):
    speakers: dict[str, list[Utterance]]  # those with audio, and the utterances that exist
    absent: tuple[str, ...]  # speakers without any audio
    missing: int  # listed files that do not exist


def arrange_voxceleb1(
    dataset_dir: Path,
    *,
    n_speakers: int | None = None,
    without: Path | None = None,
    new_split: NewSplit | None = None,
    download: bool = False,
    manifest: Path | None = None,
) -> VoxCelebReport:
    """Write the manifest of VoxCeleb1 and report what it contains.

    Args:
        dataset_dir: the folder of ``wav/`` and ``iden_split.txt``.
        n_speakers: take only this many of the speakers with audio, the first in order of their ids.
        without: a list of trials whose speakers are left out, so that a model may be judged by it.
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
        listed = _read(listing)
        if without:
            listed = _without_speakers_of(without, listed)
        chosen = _select(listed, audio, n_speakers)
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
    speakers = split_anew(chosen.speakers, new_split) if new_split else chosen.speakers
    utterances = [utterance for own in speakers.values() for utterance in own]
    # dataset_dir is resolved, so that ".." means the same in the text as in the file system. "wav"
    # itself is not, as it may well be a link to a larger disk.
    root = dataset_dir.resolve() / audio.relative_to(dataset_dir)
    _write(manifest, _table(utterances, os.path.relpath(root, manifest.parent.resolve())))
    return _report(manifest, utterances, chosen)


def _report(manifest: Path, utterances: Sequence[Utterance], chosen: _Selection) -> VoxCelebReport:
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


def _read(listing: Path) -> list[Utterance]:
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
            utterance = Utterance(speaker, video, name, _SPLITS[side])
            before = first_seen.setdefault(utterance.path, number)
            if before != number:
                raise CorpusError(f"{listing}:{number}: {utterance.path} is in line {before} too")
            utterances.append(utterance)
    return utterances


def _without_speakers_of(trials: Path, listed: Sequence[Utterance]) -> list[Utterance]:
    """Leave out the speakers of a list of trials: of VoxCeleb1-O 40, who are among the 1,251."""
    names = (name for _, *pair in read_trials(trials) for name in pair)
    speakers = {name.partition("/")[0] for name in names}
    kept = [utterance for utterance in listed if utterance.speaker not in speakers]
    if len(kept) == len(listed):
        raise UsageError(f"none of the speakers of {trials} is in the list of VoxCeleb1")
    return kept


def _select(utterances: Iterable[Utterance], audio: Path, n_speakers: int | None) -> _Selection:
    """Choose the first speakers that have audio."""
    chosen: dict[str, list[Utterance]] = {}
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


def _table(utterances: Iterable[Utterance], prefix: str) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("path", "speaker", "session", "split"))
    folder = PurePosixPath(Path(prefix).as_posix())
    rows.writerows((folder / u.path, u.speaker, u.video, u.split) for u in utterances)
    return text.getvalue()
