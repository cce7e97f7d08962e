"""``voxedge data pack``: a corpus into shards, which are read without a file for each clip.

A clip's file is copied as it is. It is decoded once, to leave out what training cannot use and to
keep what training would decode it for: its length, the digest that decides its side of a split, and
the envelope by which duplicates are found, now or among other shards.

A shard has a fixed range of the manifest's clips, and is done when its index is there. So a packing
that was stopped, by whatever, is continued by the same call with the same result. tarfile writes
what WebDataset reads; the library itself has no part in it.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from voxedge.audio.formats import AV_SUFFIXES, SUFFIXES
from voxedge.audio.urls import RemoteFile, clips_at, is_url
from voxedge.data.clips import Clip, Examined, Manifest, Problem, refuse_lookalikes
from voxedge.data.corpus import examine
from voxedge.data.manifest import read_manifest
from voxedge.data.shards import (
    ANY_AUDIO,
    CLIPS_PER_SHARD,
    SCHEMA,
    STATE,
    About,
    Index,
    LeftOut,
    State,
    read_index,
    read_state,
    scan,
    to_about,
)
from voxedge.errors import AudioError, CorpusError, UsageError
from voxedge.files import atomic_write, locked, write_json, write_text
from voxedge.names import speaker_name
from voxedge.threads import ordered_map

_RATE = 16_000  # Hz, of the shipped recipes
_WAIT = 1.0  # seconds for another process


class PackReport(NamedTuple):
    """What a folder of shards holds."""

    shards: int
    clips: int
    bytes: int
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class _Packed:
    """A clip on its way into a shard."""

    clip: Clip
    data: bytes
    about: About


def pack(
    source: str,
    out: Path,
    *,
    clips_per_shard: int = CLIPS_PER_SHARD,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> PackReport:
    """Pack a corpus, or go on with it.

    Args:
        source: a corpus of any kind, or the URL of a folder of folders.
        out: folder of the shards.
        clips_per_shard: of the corpus; those that cannot be used leave a gap.
        workers: threads that read and decode.
        progress: called with (clips done, all clips).

    Raises:
        CorpusError: there is no corpus.
        UsageError: the folder holds another corpus, or another process packs into it.
    """
    manifest = _read_url(source) if is_url(source) else read_manifest(Path(source))
    out.mkdir(parents=True, exist_ok=True)
    total = len(manifest.clips)
    starts = range(0, total, clips_per_shard)
    state: State = {
        "schema": SCHEMA,
        "source": source,
        "clips": _listing(manifest.clips),
        "shards": len(starts),
        "clips_per_shard": clips_per_shard,
    }
    try:
        with locked(out / STATE, _WAIT):
            _claim(out, state)
            indices = []
            for number, start in enumerate(starts):
                shard = out / f"{number:04d}.tar"
                clips = manifest.clips[start : start + clips_per_shard]
                if not shard.with_suffix(".json").is_file():
                    tick = _from(start, total, progress)
                    _write(shard, clips, start, workers, tick)
                indices.append(read_index(shard))
    except TimeoutError:
        raise UsageError(f"another process packs into {out}") from None
    return _report(indices, manifest.problems)


def _write(
    shard: Path, clips: Sequence[Clip], start: int, workers: int, tick: Callable[[int], None]
) -> None:
    """Write a shard, then its index, which says that it is done."""
    left_out: list[LeftOut] = []
    prepared = ordered_map(_prepare, clips, workers)
    with (
        atomic_write(shard) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for done, packed in enumerate(prepared, 1):
            if isinstance(packed, Problem):
                left_out.append(_left_out(packed))
            else:
                key = f"{start + done - 1:08d}"
                text = json.dumps(packed.about, separators=(",", ":")).encode()
                _add(tar, f"{key}.json", text)
                _add(tar, key + _ending(packed.clip.name), packed.data)
            tick(done)
    index: Index = scan(shard) | {"left_out": left_out}
    write_text(shard.with_suffix(".json"), json.dumps(index, separators=(",", ":")))


def _prepare(clip: Clip) -> _Packed | Problem:
    """Examine a clip; what is no file of its own is read once."""
    try:
        source = clip.source if isinstance(clip.source, Path) else _Read(clip.source.read_bytes())
        entry = examine(replace(clip, source=source), _RATE)
        if isinstance(entry, Problem):
            return replace(entry, clip=clip)
        data = source.read_bytes()
    except AudioError as error:
        return Problem(clip, error.code, str(error))
    assert entry.envelope is not None  # it was decoded
    known = Examined(_RATE, entry.seconds, entry.rate, entry.digest, entry.warnings, entry.envelope)
    return _Packed(clip, data, to_about(clip, known))


@dataclass(frozen=True)
class _Read:
    """A file that has been read."""

    data: bytes

    def read_bytes(self) -> bytes:
        return self.data


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a member without owner and time, so that the same clips give the same shard."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
    tar.members = []  # type: ignore[attr-defined]  # which would grow


def _claim(out: Path, state: State) -> None:
    """Take a folder for a corpus, and delete what a killed process was writing.

    Raises:
        UsageError: it holds another.
    """
    path = out / STATE
    if path.is_file():
        begun = read_state(out)
        for key in ("clips_per_shard", "clips"):
            if begun[key] != state[key]:
                what = "other clips" if key == "clips" else f"{begun[key]} clips a shard"
                raise UsageError(
                    f"{out} holds {what}, of {begun['source']}", "another --out, or delete it"
                )
    elif next(out.glob("*.tar"), None):
        raise UsageError(f"{out} holds shards of another program", "another --out")
    else:
        write_json(path, state)
    for pattern in (".*.tar.*", ".*.json.*"):  # the temporary names of ``atomic_write``
        for left in out.glob(pattern):
            if not left.name.endswith(".lock"):
                left.unlink(missing_ok=True)


def _listing(clips: Sequence[Clip]) -> str:
    """SHA-256 of what clips are named, whose they are, and their sides."""
    digest = hashlib.sha256()
    for clip in clips:
        line = "\0".join((clip.name, clip.speaker, clip.session, clip.split or ""))
        digest.update(f"{line}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _read_url(url: str) -> Manifest:
    """The clips of a folder of folders behind a URL: ``URL/<speaker>/**/<clip>``."""
    clips = []
    for name, place in clips_at(url).items():
        speaker, *inner = name.split("/")
        if inner:
            session = "/".join(inner[:-1])
            clips.append(Clip(RemoteFile(place), name, speaker_name(speaker), session))
    if not clips:
        raise CorpusError(f"there are no clips at {url}", "expected URL/<speaker>/<clip>.wav")
    refuse_lookalikes(Path(url), {clip.speaker for clip in clips}, "rename their folders")
    return Manifest(Path(url), tuple(clips))


def _ending(name: str) -> str:
    """The ending of a clip's file in a shard, by which readers choose their decoder."""
    ending = PurePosixPath(name).suffix.lower()
    return ending if ending in SUFFIXES | AV_SUFFIXES else ANY_AUDIO


def _left_out(problem: Problem) -> LeftOut:
    clip = problem.clip
    return {
        "name": clip.name,
        "speaker": clip.speaker,
        "code": problem.code,
        "message": problem.message,
    }


def _from(
    start: int, total: int, progress: Callable[[int, int], None] | None
) -> Callable[[int], None]:
    """A call with the clips done of a shard -> the caller's progress."""
    return lambda done: progress(start + done, total) if progress else None


def _report(indices: Sequence[Index], problems: Sequence[Problem]) -> PackReport:
    left_out = [*map(_left_out, problems)]
    for index in indices:
        left_out += index["left_out"]
    clips = sum(len(index["clips"]) for index in indices)
    return PackReport(
        len(indices), clips, sum(index["bytes"] for index in indices), tuple(left_out)
    )
