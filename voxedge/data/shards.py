"""Corpora as tar files (shards), as WebDataset lays them out, read at any place.

A clip is two members of one name: ``00000012.json``, what is known of it, and ``00000012.wav``,
its file. ``voxedge data pack`` (``pack``) writes beside ``0000.tar`` its index, ``0000.json``:
where each clip lies, and the JSON of all. So clips are shuffled over all shards and split by their
content as those of a folder are, and nothing is decoded before the first step. A shard of another
program, without an index, is read once from end to end; the JSON of its clips must name the
``speaker``.

The format: https://github.com/webdataset/webdataset.
"""

from __future__ import annotations

import base64
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict

import numpy as np

from voxedge.audio.formats import AV_SUFFIXES, SUFFIXES
from voxedge.audio.limits import Samples
from voxedge.data.clips import SIDES, Clip, Examined, Manifest, Problem, Side, refuse_lookalikes
from voxedge.errors import CorpusError, UnreadableAudio
from voxedge.names import speaker_name

SCHEMA = 1
CLIPS_PER_SHARD = 2_000  # half a gigabyte of 8 s at 16 kHz
STATE = "pack.json"  # what a folder of shards holds, written before the first of them
ANY_AUDIO = ".audio"  # a file whose name has no ending of an audio format
_AUDIO = SUFFIXES | AV_SUFFIXES | {ANY_AUDIO}


class About(TypedDict, total=False):
    """The JSON of a clip. Shards of other programs have a speaker, and perhaps more."""

    name: str
    speaker: str
    session: str
    split: Side
    sample_rate: int  # the remaining keys are those of ``Examined``
    seconds: float
    rate: int
    digest: str
    warnings: list[str]
    envelope: str  # base64 of float16


class Row(TypedDict):
    """A clip in an index."""

    offset: int  # of the audio file in the shard
    bytes: int
    about: About


class LeftOut(TypedDict):
    """A clip that was not packed."""

    name: str
    speaker: str
    code: str
    message: str


class Index(TypedDict):
    """What a shard holds."""

    schema: int
    bytes: int  # of the shard: an index of another one is found out
    clips: list[Row]
    left_out: list[LeftOut]


class State(TypedDict):
    """What is packed into a folder, and how."""

    schema: int
    source: str
    clips: str  # SHA-256 of their names, speakers, sessions and sides
    shards: int
    clips_per_shard: int


@dataclass(frozen=True, slots=True)
class Member:
    """A file within a tar file."""

    shard: Path
    offset: int
    size: int

    def read_bytes(self) -> bytes:
        """The file.

        Raises:
            UnreadableAudio: the shard is gone or cut off.
        """
        try:
            with self.shard.open("rb", buffering=0) as file:
                file.seek(self.offset)
                found = file.read(self.size)
        except OSError as error:
            raise UnreadableAudio(f"{self.shard}: {error.strerror or error}") from None
        if len(found) < self.size:
            raise UnreadableAudio(f"{self.shard} is cut off")
        return found


def read_shards(source: Path) -> Manifest:
    """Read a folder of shards, one shard, or several: ``shards/{0000..0099}.tar``.

    Raises:
        CorpusError: a shard is missing or damaged, packing has not ended, or two clips have one
            name.
    """
    clips: dict[str, Clip] = {}
    problems: list[Problem] = []
    for shard in _shards(source):
        index = read_index(shard)
        for row in index["clips"]:
            clip = _clip(shard, row)
            if clip.name in clips:
                raise CorpusError(f"{shard}: {clip.name} is in these shards twice")
            clips[clip.name] = clip
        for left_out in index["left_out"]:
            clip = Clip(shard, left_out["name"], speaker_name(left_out["speaker"]))
            problems.append(Problem(clip, left_out["code"], left_out["message"]))
    if not clips:
        raise CorpusError(f"{source} holds no clips")
    refuse_lookalikes(source, {clip.speaker for clip in clips.values()}, "pack them again")
    return Manifest(source, tuple(clips[name] for name in sorted(clips)), problems=tuple(problems))


def read_state(folder: Path) -> State:
    """What is packed into a folder.

    Raises:
        CorpusError: its state cannot be read.
    """
    path = folder / STATE
    try:
        state: State = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path} cannot be read: {error}") from None
    return state


def read_index(shard: Path) -> Index:
    """The index beside a shard, or one made by reading it.

    Raises:
        CorpusError: there is no such shard, it is damaged, or the index is of another one.
    """
    try:
        size = shard.stat().st_size
    except OSError:
        raise CorpusError(f"there is no shard {shard}") from None
    path = shard.with_suffix(".json")
    if not path.is_file():
        return scan(shard)
    try:
        index: Index = json.loads(path.read_text("utf-8"))
        known = index["schema"] == SCHEMA and index["bytes"] == size
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{path} is not the index of a shard: {error}") from None
    if not known:
        raise CorpusError(
            f"{path} is not the index of this {shard.name}",
            "copy both again, or delete the index: then the shard itself is read",
        )
    return index


def scan(shard: Path) -> Index:
    """Read a shard from end to end, without its audio.

    Raises:
        CorpusError: it is damaged, or a clip has no speaker.
    """
    rows: list[Row] = []
    abouts: dict[str, About] = {}
    places: dict[str, tuple[str, int, int]] = {}  # ending, offset, bytes
    try:
        for member, content in _members(shard):
            key, ending = _key(member.name)
            if content is not None:
                abouts[key] = json.loads(content)
            elif ending in _AUDIO:
                places[key] = ending, member.offset_data, member.size
            if key in abouts and key in places:
                ending, offset, size = places.pop(key)
                about = abouts.pop(key)
                if not isinstance(about.get("speaker"), str):
                    raise CorpusError(f"{shard}: {key}.json names no speaker")
                about.setdefault("name", f"{shard.name}/{key}{ending}")
                rows.append({"offset": offset, "bytes": size, "about": about})
    except (OSError, tarfile.TarError, ValueError, AttributeError) as error:
        raise CorpusError(f"{shard} is not a whole tar file of clips: {error}") from None
    if places:
        raise CorpusError(f"{shard}: there is no {min(places)}.json, which names the speaker")
    return {"schema": SCHEMA, "bytes": shard.stat().st_size, "clips": rows, "left_out": []}


def to_about(clip: Clip, examined: Examined) -> About:
    """What is kept of a clip."""
    about: About = {
        "name": clip.name,
        "speaker": clip.speaker,
        "session": clip.session,
        "sample_rate": examined.sample_rate,
        "seconds": examined.seconds,
        "rate": examined.rate,
        "digest": examined.digest,
        "warnings": list(examined.warnings),
        "envelope": base64.b64encode(examined.envelope.astype("<f2").tobytes()).decode(),
    }
    return about if clip.split is None else {**about, "split": clip.split}


def _clip(shard: Path, row: Row) -> Clip:
    about = row["about"]
    side = about.get("split")
    if side is not None and side not in SIDES:
        raise CorpusError(f"{shard}: split is {side!r}, not one of {', '.join(SIDES)}")
    member = Member(shard, row["offset"], row["bytes"])
    speaker, session = speaker_name(about["speaker"]), str(about.get("session", ""))
    return Clip(member, about["name"], speaker, session, side, _examined(about))


def _examined(about: About) -> Examined | None:
    if "digest" not in about:
        return None
    packed = np.frombuffer(base64.b64decode(about["envelope"]), "<f2")
    envelope: Samples = packed.astype(np.float32)
    return Examined(
        about["sample_rate"],
        about["seconds"],
        about["rate"],
        about["digest"],
        tuple(about["warnings"]),
        envelope,
    )


def _shards(source: Path) -> list[Path]:
    """The shards of a folder, or those that a pattern names."""
    if not source.is_dir():
        return [Path(name) for name in expand(str(source))]
    found = sorted(source.glob("*.tar"))
    if (source / STATE).is_file():
        done, shards = sum(map(_has_index, found)), read_state(source)["shards"]
        if done < shards:
            raise CorpusError(
                f"{source}: {done} of {shards} shards are packed",
                "go on with the same voxedge data pack",
            )
    return found


def expand(pattern: str) -> list[str]:
    """The names of a pattern with braces, as a shell expands it: ``{00..10}``, ``{a,b}``."""
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        return [pattern]
    span = re.fullmatch(r"(\d+)\.\.(\d+)", match[1])
    if span:
        width = max(map(len, span.groups())) if any(n[0] == "0" for n in span.groups()) else 0
        inner = [f"{number:0{width}d}" for number in range(int(span[1]), int(span[2]) + 1)]
    else:
        inner = match[1].split(",")
    before, after = pattern[: match.start()], pattern[match.end() :]
    return [name for each in inner for name in expand(f"{before}{each}{after}")]


def _has_index(shard: Path) -> bool:
    return shard.with_suffix(".json").is_file()


def _members(shard: Path) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """The files of a shard, each with its content if it is JSON."""
    with tarfile.open(shard, "r:") as tar:
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # which would grow
            if member.isfile():
                opened: Any = tar.extractfile(member) if member.name.endswith(".json") else None
                yield member, opened.read() if opened else None


def _key(name: str) -> tuple[str, str]:
    """The key of a member, up to the first dot of its name, and its ending."""
    path = PurePosixPath(name)
    stem, _, rest = path.name.partition(".")
    return str(path.with_name(stem)), f".{rest.rpartition('.')[2].lower()}"
