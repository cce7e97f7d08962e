"""What is measured: a network trained on real speech, and the seed system's on the same clips.

Accuracy and agreement mean nothing on random weights, so both networks are trained first, by the
command line that users have. Their runs stay in build/bench/runs and are trained again only after a
recipe has changed. Both are exported each time, ours in each precision, so that the files measured
are those of the present exporter.

Where VOXEDGE_BENCH_RUN names a finished run, that one is measured. Otherwise the corpus is forty
speakers of the recordings in VOXEDGE_DATA or ../shared/data, or else the synthetic voices of
espeak-ng. VOXEDGE_BENCH_SEED_RUN names a finished run of a seed recipe on the same clips: training
it well takes hours on a CPU.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.results import Subject, TrainedNetwork
from voxedge.cli.console import duration, say
from voxedge.demo.speech import speak_corpus
from voxedge.errors import UsageError, VoxedgeError
from voxedge.files import write_json
from voxedge.train import recipe as recipes
from voxedge.train.build import load_net
from voxedge.train.run import Run, find_run

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build" / "bench"
PREPARED = BUILD / "prepared.json"
RUN_VARIABLE, SEED_RUN_VARIABLE = "VOXEDGE_BENCH_RUN", "VOXEDGE_BENCH_SEED_RUN"
DATA_VARIABLE = "VOXEDGE_DATA"
BATCH = 16  # small, for many steps in few epochs
_SYNTHETIC = "spoken"  # what the corpus of espeak-ng is called


@dataclass(frozen=True)
class Budget:
    """How much is trained; a few minutes in all on two cores."""

    name: str
    speakers: int
    epochs: int
    seed_epochs: int


FULL = Budget("full", speakers=40, epochs=8, seed_epochs=3)
QUICK = Budget("quick", speakers=8, epochs=2, seed_epochs=1)


@dataclass(frozen=True)
class Prepared:
    """What the suites measure: two runs, which PyTorch loads, and their exported files.

    Args:
        run: the network that is measured.
        seed_run: the seed system's on the same clips.
        files: the run's by precision, and the seed's by ``seed``.
        refused: the files that the exporter refused to write, with its reason.
        corpus: what both were trained on.
        quick: whether this only shows that everything works.
    """

    run: Run
    seed_run: Run
    files: Mapping[str, Path]
    refused: Mapping[str, str]
    corpus: str
    quick: bool

    def file(self, name: str) -> Path:
        """An exported file.

        Raises:
            VoxedgeError: the exporter refused to write it.
        """
        if name in self.refused:
            raise VoxedgeError(self.refused[name])
        return self.files[name]

    def save(self) -> None:
        """Write this for the suites, which run in a process of their own."""
        value = {
            "run": str(self.run.folder),
            "seed_run": str(self.seed_run.folder),
            "files": {name: str(file) for name, file in self.files.items()},
            "refused": self.refused,
            "corpus": self.corpus,
            "quick": self.quick,
        }
        write_json(PREPARED, value)

    @classmethod
    def load(cls) -> Prepared:
        """Read what ``save`` wrote.

        Raises:
            FileNotFoundError: nothing is prepared yet.
        """
        value = json.loads(PREPARED.read_text())
        return cls(
            run=Run(Path(value["run"])),
            seed_run=Run(Path(value["seed_run"])),
            files={name: Path(file) for name, file in value["files"].items()},
            refused=value["refused"],
            corpus=value["corpus"],
            quick=value["quick"],
        )

    def describe(self) -> Subject:
        """The description for the results."""
        return {
            "corpus": self.corpus,
            "speakers": len(self.run.labels()),
            "file_bytes": {name: file.stat().st_size for name, file in self.files.items()},
            "model": _describe(self.run),
            "seed": _describe(self.seed_run),
        }


def prepare(quick: bool = False) -> Prepared:
    """Train the networks that are not trained yet, and export them.

    Args:
        quick: whether this only shows that everything works.

    Raises:
        VoxedgeError: a command failed, and has reported why.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    budget = QUICK if quick else FULL
    if given := os.environ.get(RUN_VARIABLE):
        run, corpus = find_run(Path(given)), "that of the given run"
    else:
        run, corpus = train_or_reuse(quick)
    if given := os.environ.get(SEED_RUN_VARIABLE):
        seed_run = find_run(Path(given))
    else:
        seed_run = _seed_run(run, budget)
    _refuse_different(run, seed_run)
    files: dict[str, Path] = {}
    refused: dict[str, str] = {}
    wanted = {name: (run, name) for name in ("fp32", "fp16", "int8")} | {"seed": (seed_run, "fp32")}
    for name, (own, precision) in wanted.items():
        try:
            files[name] = export(own, name, precision)
        except VoxedgeError as error:  # only our float32 file is needed by every suite
            if name == "fp32":
                raise
            refused[name] = f"voxedge export refused the file: {error}"
            say(f"going on without {name}: {error}")
    prepared = Prepared(run, seed_run, files, refused, corpus, quick)
    prepared.save()
    return prepared


def train_or_reuse(quick: bool, changes: Mapping[str, Any] | None = None) -> tuple[Run, str]:
    """The benchmark's network, trained now unless it was before, and the name of its corpus.

    Args:
        quick: whether to train on few speakers.
        changes: to the default recipe, in addition to the budget's.

    Raises:
        VoxedgeError: the training failed, and has reported why.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    budget = QUICK if quick else FULL
    data, corpus = _corpus()
    values = {
        "data.speakers": 0 if corpus == _SYNTHETIC else budget.speakers,
        "training.epochs": budget.epochs,
        "training.batch_size": BATCH,
    } | dict(changes or {})
    name = "-".join([corpus.replace("/", "-"), budget.name, *map(str, (changes or {}).values())])
    return _finished_run(name, data, "default", values), corpus


def export(run: Run, name: str, precision: str) -> Path:
    """Export a run in a precision to build/bench.

    Raises:
        VoxedgeError: the exporter refused the file, and has reported why.
    """
    model = BUILD / f"{name}.onnx"
    _voxedge("export", model, "--run", run.folder, "--precision", precision)
    return model


def shared_data() -> Path:
    """The folder of recordings, noises and impulse responses; it need not exist."""
    return Path(os.environ.get(DATA_VARIABLE, ROOT.parent / "shared" / "data"))


def _describe(run: Run) -> TrainedNetwork:
    recipe, metrics = run.recipe(), run.metrics()
    return {
        "recipe": recipe.name,
        "init": recipe.model.init,
        "trunk": recipe.model.trunk,
        "width": recipe.model.width,
        "image_size": recipe.frontend.image_size,
        "window_seconds": recipe.frontend.window_seconds,
        "epochs": metrics["epochs"],
        "train_seconds": metrics["seconds"],
    }


def _corpus() -> tuple[Path, str]:
    """The folder of the corpus, and its name."""
    data = shared_data()
    known = data / "speechocean762" / "known"
    if known.is_dir():
        return known, "speechocean762/known"
    say(f"no recordings in {data} (set {DATA_VARIABLE}): espeak-ng speaks a corpus")
    speak_corpus(BUILD / _SYNTHETIC)
    return BUILD / _SYNTHETIC, _SYNTHETIC


def _seed_run(run: Run, budget: Budget) -> Run:
    """The seed's baseline, on the clips, split and window length of a run."""
    digest = run.corpus_info()["digest"][:12]
    manifest = BUILD / f"clips-{digest}.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "speaker", "session", "split"])
        for clip in run.manifest().clips:
            rows.writerow([clip.source.resolve(), clip.speaker, clip.session, clip.split])
    recipe = run.recipe()
    changes = {
        "model.init": "random",  # ImageNet's weights would have to be downloaded
        "frontend.window_seconds": recipe.frontend.window_seconds,
        "frontend.sample_rate": recipe.frontend.sample_rate,
        "training.seed": recipe.training.seed,
        "training.epochs": budget.seed_epochs,
        "training.batch_size": BATCH,
    }
    return _finished_run(f"seed-{digest}-{budget.name}", manifest, "seed-baseline", changes)


def _finished_run(name: str, data: Path, recipe: str, changes: Mapping[str, Any]) -> Run:
    """The finished run of that name and recipe; trained now if there is none."""
    folder = BUILD / "runs" / name
    with suppress(VoxedgeError):  # none, unfinished, of another recipe, or no longer readable
        run = find_run(folder)
        load_net(run)
        if run.metrics_path.is_file() and run.recipe() == recipes.load(recipe).with_values(changes):
            say(f"trained before: {_from_root(run.folder)}")
            return run
    start = time.monotonic()
    settings = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    _voxedge("train", data, "--recipe", recipe, *settings, "--runs", folder)
    say(f"training took {duration(time.monotonic() - start)}")
    return find_run(folder)


def _voxedge(*arguments: object) -> None:
    """Run the command line; what it prints goes to stderr.

    Raises:
        VoxedgeError: it failed; the message is its own.
    """
    words = [str(argument) for argument in arguments]
    say(f"$ voxedge {' '.join(str(_from_root(Path(word))) for word in words)}")
    command = [sys.executable, "-m", "voxedge", *words]
    message = ""
    with subprocess.Popen(
        command, cwd=ROOT, stdout=sys.stderr, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            if line.startswith("error: "):
                message = line.removeprefix("error: ").strip()
    if process.returncode:
        raise VoxedgeError(
            message or f"voxedge {words[0]} ended with exit code {process.returncode}"
        )


def _refuse_different(run: Run, seed_run: Run) -> None:
    """Refuse to compare networks of other speakers or windows, or a seed run that is none.

    Raises:
        UsageError: the two cannot be compared.
    """
    ours, theirs = run.recipe().frontend, seed_run.recipe().frontend
    windows = {(frontend.sample_rate, frontend.window_seconds) for frontend in (ours, theirs)}
    if len(windows) > 1 or run.labels() != seed_run.labels():
        raise UsageError(f"{seed_run.folder} has other speakers or windows than {run.folder}")
    if (theirs.feature, theirs.padding, theirs.image_size) != ("seed", "zero", 224):
        raise UsageError(f"{seed_run.folder} was not trained by a seed recipe")


def _from_root(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
