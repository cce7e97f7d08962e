"""What is measured: a network trained on real speech, and the seed system's on the same clips.

Accuracy and agreement mean nothing on random weights, so both are trained before anything is
measured, by the command line that users have, and kept in build/bench/runs: a second run trains
nothing unless a recipe has changed. Both are exported anew each time, ours in each precision, so
that it is always the present exporter whose file is measured.

What is trained on: the run that VOXEDGE_BENCH_RUN names, as it is; else forty speakers of the
recordings in VOXEDGE_DATA or ../shared/data; else the voices of espeak-ng. VOXEDGE_BENCH_SEED_RUN
names a finished run of a seed recipe on the same clips: to train it well takes hours on a CPU.

Shapes: N windows, C clips, W samples of a window.
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

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples
from voxedge.audio.load import load_audio
from voxedge.audio.windows import batches, cut, is_low_energy
from voxedge.cli.console import duration, say
from voxedge.data.manifest import Clip
from voxedge.demo.speech import speak_corpus
from voxedge.errors import UsageError, VoxedgeError
from voxedge.files import write_json
from voxedge.train import recipe as recipes
from voxedge.train.build import load_net
from voxedge.train.run import Run, find_run

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build" / "bench"
RUN_VARIABLE, SEED_RUN_VARIABLE = "VOXEDGE_BENCH_RUN", "VOXEDGE_BENCH_SEED_RUN"
DATA_VARIABLE = "VOXEDGE_DATA"

Lengths = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Budget:
    """How much is trained; a few minutes in all on two cores."""

    name: str
    speakers: int
    epochs: int
    seed_epochs: int


FULL = Budget("full", speakers=40, epochs=8, seed_epochs=3)
QUICK = Budget("quick", speakers=8, epochs=2, seed_epochs=1)
BATCH = 16  # small, for many steps in few epochs


@dataclass(frozen=True)
class Material:
    """What the suites are given: two runs, which PyTorch loads, and their exported files.

    Args:
        run: the network that is measured.
        seed_run: the seed system's on the same clips.
        files: the run's by precision, and the seed's by ``seed``.
        refused: of those that the exporter would not write, why.
        corpus: what was trained on.
        quick: whether this is to see that all works.
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
            VoxedgeError: the exporter refused it.
        """
        if name in self.refused:
            raise VoxedgeError(self.refused[name])
        return self.files[name]

    def save(self, path: Path) -> None:
        """Write it down for the suites, which run in a process of their own."""
        value = {
            "run": str(self.run.folder),
            "seed_run": str(self.seed_run.folder),
            "files": {name: str(file) for name, file in self.files.items()},
            "refused": self.refused,
            "corpus": self.corpus,
            "quick": self.quick,
        }
        write_json(path, value)

    @classmethod
    def load(cls, path: Path) -> Material:
        """What ``save`` wrote."""
        value = json.loads(path.read_text())
        return cls(
            run=Run(Path(value["run"])),
            seed_run=Run(Path(value["seed_run"])),
            files={name: Path(file) for name, file in value["files"].items()},
            refused=value["refused"],
            corpus=value["corpus"],
            quick=value["quick"],
        )

    def describe(self) -> dict[str, Any]:
        """What stands in the results about it."""
        described: dict[str, Any] = {"corpus": self.corpus, "speakers": len(self.run.labels())}
        described["file_bytes"] = {name: f.stat().st_size for name, f in self.files.items()}
        for name, run in (("model", self.run), ("seed", self.seed_run)):
            recipe, metrics = run.recipe(), run.metrics()
            described[name] = {
                "recipe": recipe.name,
                "init": recipe.model.init,
                "trunk": recipe.model.trunk,
                "width": recipe.model.width,
                "image_size": recipe.frontend.image_size,
                "window_seconds": recipe.frontend.window_seconds,
                "epochs": metrics["epochs"],
                "train_seconds": metrics["seconds"],
            }
        return described


@dataclass(frozen=True)
class Clips:
    """The windows of labelled clips."""

    pcm: Samples  # [N, W], rows shorter than W zero-filled
    lengths: Lengths  # [N]
    clip_index: npt.NDArray[np.int64]  # [N], the clip of each window
    truth: npt.NDArray[np.int64]  # [C], the class of each clip


def prepare(quick: bool = False) -> Material:
    """Train what is not there yet and export both.

    Raises:
        VoxedgeError: a command failed, and has said why.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    budget = QUICK if quick else FULL
    if given := os.environ.get(RUN_VARIABLE):
        run, corpus = find_run(Path(given)), "that of the given run"
    else:
        run, corpus = trained_on(quick)
    if given := os.environ.get(SEED_RUN_VARIABLE):
        seed_run = find_run(Path(given))
    else:
        seed_run = _seed_run(run, budget)
    _check_same(run, seed_run)
    files: dict[str, Path] = {}
    refused: dict[str, str] = {}
    wanted = {name: (run, name) for name in ("fp32", "fp16", "int8")} | {"seed": (seed_run, "fp32")}
    for name, (own, precision) in wanted.items():
        try:
            files[name] = export_of(own, name, precision)
        except VoxedgeError as error:  # all but float32 are contestants that may be left out
            if name == "fp32":
                raise
            refused[name] = f"voxedge export refused the file: {error}"
            say(f"going on without {name}: {error}")
    material = Material(run, seed_run, files, refused, corpus, quick)
    material.save(BUILD / "material.json")
    return material


def trained_on(quick: bool, changes: Mapping[str, Any] | None = None) -> tuple[Run, str]:
    """The benchmark's network, trained now if it is not there, and what on.

    Args:
        quick: on few speakers.
        changes: to the default recipe, beside the budget's.

    Raises:
        VoxedgeError: the training failed, and has said why.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    budget = QUICK if quick else FULL
    data, corpus = _corpus()
    whole = {
        "data.speakers": 0 if corpus == _SPOKEN else budget.speakers,
        "training.epochs": budget.epochs,
        "training.batch_size": BATCH,
    } | dict(changes or {})
    name = "-".join([corpus.replace("/", "-"), budget.name, *map(str, (changes or {}).values())])
    return _trained(name, data, "default", whole), corpus


def held_out(run: Run) -> list[Clip]:
    """The clips that the run was neither trained on nor chosen by."""
    return [clip for clip in run.manifest().clips if clip.split == "test"]


def recordings(run: Run, count: int) -> list[Path]:
    """Files of the run, evenly chosen, of all its speakers; the same again where they are fewer."""
    paths = [clip.path for clip in run.manifest().clips]
    evenly = np.linspace(0, len(paths), min(count, len(paths)), endpoint=False).astype(int)
    return [paths[evenly[n % len(evenly)]] for n in range(count)]


def cut_clips(run: Run) -> Clips:
    """The test clips' windows, as ``identify`` cuts them."""
    frontend = run.recipe().frontend
    window = round(frontend.window_seconds * frontend.sample_rate)
    clips = held_out(run)
    classes = {label: index for index, label in enumerate(run.labels())}
    parts: list[tuple[int, Samples]] = []
    for index, clip in enumerate(clips):
        own = cut(load_audio(clip.path, frontend.sample_rate), window)
        parts += [(index, part) for part in own if not is_low_energy(part)] or [(index, own[0])]
    (all_of_them,) = batches(parts, len(parts), window)
    truth = np.array([classes[clip.speaker] for clip in clips])
    return Clips(all_of_them.pcm, all_of_them.lengths, np.array(all_of_them.keys), truth)


_SPOKEN = "spoken"


def shared_data() -> Path:
    """Where the recordings, the noises and the rooms are, if anywhere."""
    return Path(os.environ.get(DATA_VARIABLE, ROOT.parent / "shared" / "data"))


def _corpus() -> tuple[Path, str]:
    """Where the recordings are, and what they are called."""
    data = shared_data()
    known = data / "speechocean762" / "known"
    if known.is_dir():
        return known, "speechocean762/known"
    say(f"no recordings at {data} (set {DATA_VARIABLE}): espeak-ng speaks a corpus")
    speak_corpus(BUILD / _SPOKEN)
    return BUILD / _SPOKEN, _SPOKEN


def _seed_run(run: Run, budget: Budget) -> Run:
    """The seed's baseline on the very clips, sides and windows of a run."""
    digest = run.corpus_info()["digest"][:12]
    listed = BUILD / f"clips-{digest}.csv"
    with listed.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "speaker", "session", "split"])
        for clip in run.manifest().clips:
            rows.writerow([clip.path.resolve(), clip.speaker, clip.session, clip.split])
    recipe = run.recipe()
    changes = {
        "model.init": "random",  # ImageNet's weights would have to be downloaded
        "frontend.window_seconds": recipe.frontend.window_seconds,
        "frontend.sample_rate": recipe.frontend.sample_rate,
        "training.seed": recipe.training.seed,
        "training.epochs": budget.seed_epochs,
        "training.batch_size": BATCH,
    }
    return _trained(f"seed-{digest}-{budget.name}", listed, "seed-baseline", changes)


def _trained(name: str, data: Path, recipe: str, changes: Mapping[str, Any]) -> Run:
    """The finished run of that name and recipe; trained now if there is none."""
    folder = BUILD / "runs" / name
    with suppress(VoxedgeError):  # none, of another recipe, not finished or not readable any more
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


def export_of(run: Run, name: str, precision: str) -> Path:
    """A run's file in a precision, in the folder of what the benchmark builds.

    Raises:
        VoxedgeError: the exporter refused it, and has said why.
    """
    model = BUILD / f"{name}.onnx"
    _voxedge("export", model, "--run", run.folder, "--precision", precision)
    return model


def _voxedge(*arguments: object) -> None:
    words = [str(argument) for argument in arguments]
    say(f"$ voxedge {' '.join(str(_from_root(Path(word))) for word in words)}")
    command = [sys.executable, "-m", "voxedge", *words]
    said = ""
    with subprocess.Popen(
        command, cwd=ROOT, stdout=sys.stderr, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            if line.startswith("error: "):
                said = line.removeprefix("error: ").strip()
    if process.returncode:
        raise VoxedgeError(said or f"voxedge {words[0]} ended with exit code {process.returncode}")


def _check_same(run: Run, seed_run: Run) -> None:
    """Only networks that know the same speakers and hear the same windows can be compared."""
    ours, theirs = run.recipe().frontend, seed_run.recipe().frontend
    windows = {(frontend.sample_rate, frontend.window_seconds) for frontend in (ours, theirs)}
    if len(windows) > 1 or run.labels() != seed_run.labels():
        raise UsageError(f"{seed_run.folder} is of other speakers or windows than {run.folder}")
    if (theirs.feature, theirs.padding, theirs.image_size) != ("seed", "zero", 224):
        raise UsageError(f"{seed_run.folder} was not trained by a seed recipe")


def _from_root(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
