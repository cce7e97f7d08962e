"""A run folder: the recipe, corpus and split of a training, its checkpoints and its metrics.

recipe.toml  corpus.json  split.csv  labels.json  history.csv  metrics.json  curves.png
best.safetensors  last.safetensors  model.safetensors (each with a .json for people)
events.out.tfevents... (for TensorBoard)  trunk.onnx (on top of a model file)
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from voxedge import files
from voxedge.data.clips import Manifest
from voxedge.data.corpus import Corpus
from voxedge.data.manifest import read_split
from voxedge.data.split import Split
from voxedge.errors import RunBusy, RunError
from voxedge.files import write_json, write_text
from voxedge.inference.scoring import Accuracy
from voxedge.train.recipe import Recipe, load

LATEST = "latest"


class LeftOutClip(TypedDict):
    """A clip of the corpus that could not be used."""

    path: str
    code: str  # of the error
    message: str


class CorpusInfo(TypedDict):
    """The content of ``corpus.json``."""

    root: str  # the corpus, or the folder of its clips
    digest: str
    clips: int
    seconds: float  # of sound
    split: str  # how it was made
    left_out: list[LeftOutClip]


class ValidationMetrics(TypedDict):
    """The history of the best epoch: fractions, and the mean cross-entropy."""

    val_top1: float
    val_top5: float
    val_loss: float


class Metrics(TypedDict):
    """The content of ``metrics.json``."""

    test: Accuracy | None  # None where no clips were held back to test on
    validation: ValidationMetrics
    best_epoch: int  # counted from 1
    epochs: int
    temperature: float  # logits are divided by it before the softmax
    seconds: float  # of training, over all resumes
    clips_per_second: float
    device: str  # cpu, cuda or, of several processes, 2 x cuda
    precision: str  # fp32 or bf16
    versions: dict[str, str]


@dataclass(frozen=True)
class Run:
    """The files of one run folder."""

    folder: Path

    @property
    def best(self) -> Path:
        """The checkpoint of the epoch that validated best."""
        return self.folder / "best.safetensors"

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.folder / "last.safetensors"

    @property
    def model(self) -> Path:
        """The checkpoint of the finished network: the best one, with what is fitted at the end."""
        return self.folder / "model.safetensors"

    @property
    def trunk(self) -> Path:
        """The model file that the network begins with, if ``model.trunk`` names one."""
        return self.folder / "trunk.onnx"

    @property
    def metrics_path(self) -> Path:
        """Only a finished run has this file."""
        return self.folder / "metrics.json"

    def recipe(self) -> Recipe:
        """Read the recipe.

        Raises:
            RunError: the folder is not a run folder.
        """
        path = self.folder / "recipe.toml"
        if not path.is_file():
            raise RunError(f"{self.folder} is not a run folder: it has no recipe.toml")
        return load(str(path))

    def labels(self) -> tuple[str, ...]:
        """The speakers, in class order."""
        return tuple(self._json("labels.json"))

    def metrics(self) -> Metrics:
        """Read the metrics of a finished run.

        Raises:
            RunError: the run has not ended.
        """
        if not self.metrics_path.is_file():
            raise RunError(
                f"the run {self.folder} has not ended", f"voxedge train --resume {self.folder}"
            )
        metrics: Metrics = self._json("metrics.json")
        return metrics

    def threads(self) -> int:
        """Threads that the last checkpoint was computed with; 0 where none says so."""
        path = self.last.with_suffix(".json")
        return int(self._json(path.name).get("threads", 0)) if path.is_file() else 0

    def corpus_info(self) -> CorpusInfo:
        """Read where the corpus is, and what it holds."""
        info: CorpusInfo = self._json("corpus.json")
        return info

    def describe(self, recipe: Recipe, corpus: Corpus, split: Split) -> None:
        """Write the files that are known before the first step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["path", "speaker", "session", "split", "seconds", "digest"])
        for entry in corpus.entries:
            clip, seconds = entry.clip, f"{entry.seconds:.3f}"
            side = split.sides[clip.name]
            rows.writerow([clip.name, clip.speaker, clip.session, side, seconds, entry.digest])
        write_text(self.folder / "split.csv", table.getvalue())
        info: CorpusInfo = {
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
        write_text(self.folder / "recipe.toml", recipe.to_toml())  # last: a run folder has one

    def manifest(self, data: Path | None = None) -> Manifest:
        """List the run's clips with their sides, in the original corpus or in ``data``.

        Raises:
            CorpusError: none of the clips is there.
            RunError: the folder is not a run folder.
        """
        path = self.folder / "split.csv"
        if not path.is_file():
            raise RunError(f"{self.folder} is not a run folder: it has no split.csv")
        return read_split(path, Path(self.corpus_info()["root"]) if data is None else data)

    def write_history(self, rows: Sequence[dict[str, float]]) -> None:
        """Write a line for each epoch; no times, so that equal trainings have equal files."""
        table = io.StringIO()
        writer = csv.DictWriter(table, list(rows[0]) if rows else ["epoch"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.folder / "history.csv", table.getvalue())

    def make_latest(self) -> None:
        """Make the link ``latest``, next to the folder, point to it."""
        link = self.folder.parent / LATEST
        if link.is_symlink() or not link.exists():  # a user's own folder stays
            temporary = link.with_name(f".{LATEST}.{self.folder.name}")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(self.folder.name)
            temporary.replace(link)

    def _json(self, name: str) -> Any:  # noqa: ANN401 - any JSON value
        try:
            return json.loads((self.folder / name).read_text())
        except (OSError, ValueError) as error:
            raise RunError(f"{self.folder / name} cannot be read: {error}") from None


class Job(NamedTuple):
    """A training: a recipe, the data and the folder for the results."""

    recipe: Recipe
    corpus: Corpus
    split: Split
    run: Run


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder, so that only one process trains in it.

    Raises:
        RunBusy: another process has locked it.
    """
    with ExitStack() as held:
        try:
            held.enter_context(files.locked(folder / "training", seconds=0))
        except TimeoutError:
            raise RunBusy(f"another process is training in {folder}") from None
        yield


def new_run(runs: Path, name: str) -> Run:
    """Make a new folder ``runs/<date>-<name>``."""
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
    """Find a run by its folder, or the latest one in a folder of runs.

    Raises:
        RunError: there is none.
    """
    for candidate in (folder, folder / LATEST):
        if (candidate / "recipe.toml").is_file():
            return Run(candidate.resolve())
    raise RunError(f"there is no run in {folder}", "train one with: voxedge train")
