"""A run folder: what was trained, on what, how it went, and where it stands.

recipe.toml  corpus.json  split.csv  labels.json  history.csv  metrics.json  curves.png
best.safetensors  last.safetensors  model.safetensors (each with a .json for people)
events.out.tfevents...
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from voxedge.data.corpus import Corpus
from voxedge.data.manifest import Clip, Manifest, read_manifest
from voxedge.data.split import Split
from voxedge.errors import CorpusError, RunBusy, RunError
from voxedge.files import write_json, write_text
from voxedge.train.recipe import Recipe, load

LATEST = "latest"


@dataclass(frozen=True)
class Run:
    """The paths of one run folder."""

    folder: Path

    @property
    def best(self) -> Path:
        """The checkpoint that validated best."""
        return self.folder / "best.safetensors"

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.folder / "last.safetensors"

    @property
    def model(self) -> Path:
        """The network that answers: the best one, its head fitted anew if that was asked for."""
        return self.folder / "model.safetensors"

    @property
    def metrics_path(self) -> Path:
        """Written when the run has ended well."""
        return self.folder / "metrics.json"

    def recipe(self) -> Recipe:
        """The recipe that is trained.

        Raises:
            RunError: the folder is not a run.
        """
        path = self.folder / "recipe.toml"
        if not path.is_file():
            raise RunError(f"{self.folder} is not a run folder: it has no recipe.toml")
        return load(str(path))

    def labels(self) -> tuple[str, ...]:
        """The speakers, in class order."""
        return tuple(self._json("labels.json"))

    def metrics(self) -> dict[str, Any]:
        """What the finished run measured.

        Raises:
            RunError: the run has not ended.
        """
        if not self.metrics_path.is_file():
            raise RunError(
                f"the run {self.folder} has not ended", f"voxedge train --resume {self.folder}"
            )
        value: dict[str, Any] = self._json("metrics.json")
        return value

    def corpus_info(self) -> dict[str, Any]:
        """Root, digest and counts of the corpus."""
        value: dict[str, Any] = self._json("corpus.json")
        return value

    def describe(self, recipe: Recipe, corpus: Corpus, split: Split) -> None:
        """Write what is fixed before the first step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["path", "speaker", "session", "split", "seconds", "digest"])
        for e in corpus.entries:
            side = split.sides[e.clip.name]
            seconds = f"{e.seconds:.3f}"
            rows.writerow([e.clip.name, e.clip.speaker, e.clip.session, side, seconds, e.digest])
        write_text(self.folder / "split.csv", table.getvalue())
        info = {
            "root": str(corpus.manifest.root.resolve()),
            "digest": corpus.digest,
            "clips": len(corpus.entries),
            "seconds": round(sum(entry.seconds for entry in corpus.entries), 1),
            "split": split.describe(),
            "left_out": [
                {"path": p.clip.name, "code": p.code, "message": p.message} for p in corpus.problems
            ],
        }
        write_json(self.folder / "corpus.json", info)
        write_json(self.folder / "labels.json", list(corpus.labels))
        write_text(self.folder / "recipe.toml", recipe.to_toml())  # last: makes it a run

    def manifest(self, data: Path | None = None) -> Manifest:
        """The run's own clips with their sides, from where they were or from ``data``.

        Raises:
            CorpusError: the corpus is gone.
            RunError: the folder is not a run.
        """
        path = self.folder / "split.csv"
        if not path.is_file():
            raise RunError(f"{self.folder} is not a run folder: it has no split.csv")
        root = Path(self.corpus_info()["root"])
        if data is not None:
            root = data.parent if data.is_file() else data
        listed = read_manifest(path).clips
        clips = tuple(
            Clip(root / clip.name, clip.name, clip.speaker, clip.session, clip.split)
            for clip in listed
        )
        if not any(clip.path.is_file() for clip in clips):
            raise CorpusError(f"the run's clips are not in {root}", "say where: --data FOLDER")
        return Manifest(root, clips)

    def write_history(self, rows: Sequence[dict[str, float]]) -> None:
        """One line an epoch; no wall time, so that equal runs have equal files."""
        table = io.StringIO()
        writer = csv.DictWriter(table, list(rows[0]) if rows else ["epoch"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.folder / "history.csv", table.getvalue())

    def make_latest(self) -> None:
        """Let ``latest``, beside the folder, point to it."""
        link = self.folder.parent / LATEST
        if link.is_symlink() or not link.exists():  # never over something of the user's
            temporary = link.with_name(f".{LATEST}.{self.folder.name}")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(self.folder.name)
            temporary.replace(link)

    def _json(self, name: str) -> Any:  # noqa: ANN401 - any JSON value
        try:
            return json.loads((self.folder / name).read_text())
        except (OSError, ValueError) as error:
            raise RunError(f"{self.folder / name} cannot be read: {error}") from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder against other trainers.

    Raises:
        RunBusy: another process holds it.
    """
    import fcntl

    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunBusy(f"another process is training in {folder}") from None
        yield


def new_run(runs: Path, name: str) -> Run:
    """A new folder ``runs/<date>-<name>``."""
    runs.mkdir(parents=True, exist_ok=True)
    stem = f"{datetime.now():%Y-%m-%d-%H%M%S}-{name}"
    for attempt in range(1, 1000):
        folder = runs / (stem if attempt == 1 else f"{stem}-{attempt}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return Run(folder)
    raise RunError(f"{runs} holds too many runs named {stem}")


def find_run(folder: Path) -> Run:
    """An existing run: its folder, or a folder of runs (then its latest).

    Raises:
        RunError: there is none.
    """
    for candidate in (folder, folder / LATEST):
        if (candidate / "recipe.toml").is_file():
            return Run(candidate.resolve())
    raise RunError(f"there is no run in {folder}", "train one with: voxedge train")
