"""The loop of a distillation: targets, steps, checks on speakers that it does not train on.

It prints nothing: progress goes to a ``DistillReporter``. A stopped distillation goes on as if it
had never stopped.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypedDict, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from voxedge.audio.limits import Samples
from voxedge.data.corpus import Corpus
from voxedge.errors import Interrupted, RunError, TrainingError, UsageError
from voxedge.files import write_json, write_text
from voxedge.inference.scoring import Outputs, score_clips
from voxedge.nn.distillation import distillation_loss
from voxedge.nn.frontend import SIGNAL_PATH
from voxedge.train.build import build_frontend
from voxedge.train.checkpoint import (
    CheckpointState,
    load_checkpoint,
    module_tensors,
    optimizer_tensors,
    restore_module,
    restore_optimizer,
    save_checkpoint,
)
from voxedge.train.device import Compute
from voxedge.train.distill.crops import CropSampler
from voxedge.train.distill.settings import Distillation
from voxedge.train.distill.speakers import choose_held_out, verification_error
from voxedge.train.distill.targets import Clips, Teacher, Variation, variation
from voxedge.train.optimizers import build_average, build_optimizer
from voxedge.train.progress import StepProgress
from voxedge.train.recipe import Recipe
from voxedge.train.run import locked
from voxedge.train.signals import stop_signals
from voxedge.train.state import software_versions
from voxedge.train.weights import build_trunk

STUDENT = "student.safetensors"
_LAST = "last.safetensors"
_ABOUT = "distill.json"
_MAY_GROW = ("steps", "variations")  # more of them may be asked for later
_BATCH = 32


class DistillReporter(Protocol):
    """Gets the progress of a distillation."""

    def variation(self, number: int, variations: int, done: int, clips: int) -> None:
        """Called as the teacher goes through the clips of a variation."""

    def step(self, progress: StepProgress) -> None:
        """Called after every step."""

    def check(self, row: CheckRow) -> None:
        """Called after every check."""


class CheckRow(TypedDict):
    """A check: means since the one before, and the error on speakers that are held out."""

    step: int
    loss: float
    cosine: float
    similarity: float
    eer: float  # 0 to 1; NaN where no speaker is held out
    teacher_eer: float


@dataclass(frozen=True)
class Lesson:
    """What is distilled into what, and where."""

    recipe: Recipe
    settings: Distillation
    corpora: Sequence[Corpus]
    teacher: Teacher
    teacher_digest: str
    folder: Path


def distill(lesson: Lesson, compute: Compute, reporter: DistillReporter) -> list[CheckRow]:
    """Teach a student; a folder that was begun is gone on with.

    Args:
        lesson: recipe, settings, corpora, teacher and folder.
        compute: device, precision, threads that decode.
        reporter: of the progress.

    Returns:
        The checks; ``student.safetensors`` in the folder is the averaged network.

    Raises:
        Interrupted: SIGINT or SIGTERM came; all is saved.
        UsageError: the folder is of another distillation, or the teacher of another rate.
        TrainingError: the loss is not finite.
    """
    lesson.folder.mkdir(parents=True, exist_ok=True)
    with locked(lesson.folder):
        _refuse_other(lesson)
        student = _Student(lesson, compute, reporter)
        student.learn()
        return student.history


def _refuse_other(lesson: Lesson) -> None:
    """Describe the distillation in its folder, or refuse a folder of another one."""
    rate = lesson.recipe.frontend.sample_rate
    if lesson.teacher.sample_rate != rate:
        raise UsageError(f"the teacher takes {lesson.teacher.sample_rate} Hz, the recipe {rate} Hz")
    settings = asdict(lesson.settings)
    about: dict[str, object] = {
        "recipe": lesson.recipe.to_dict(),
        "settings": {key: value for key, value in settings.items() if key not in _MAY_GROW},
        "corpora": [corpus.digest for corpus in lesson.corpora],
        "teacher": lesson.teacher_digest,
    }
    about = json.loads(json.dumps(about))
    path = lesson.folder / _ABOUT
    if path.is_file():
        earlier = json.loads(path.read_text())
        # Through a recipe, so that values of a later version do not count as changes.
        earlier["recipe"] = Recipe.from_dict(earlier.get("recipe", {})).to_dict()
        for key, value in about.items():
            if earlier.get(key) != value:
                raise UsageError(
                    f"{lesson.folder} was begun with another {key}", "name another --out"
                )
    else:
        write_json(path, about)
        write_text(lesson.folder / "recipe.toml", lesson.recipe.to_toml())


class _Student:
    """The network that learns, and what it learns from."""

    def __init__(self, lesson: Lesson, compute: Compute, reporter: DistillReporter) -> None:
        recipe, settings = lesson.recipe, lesson.settings
        self.lesson, self.compute, self.reporter = lesson, compute, reporter
        entries = tuple((c, entry) for c in lesson.corpora for entry in c.entries)
        clips = Clips(recipe.frontend.sample_rate, entries)
        names = [(str(c.manifest.root), entry.clip.speaker) for c, entry in entries]
        speakers = [(Path(root).name, speaker) for root, speaker in names]
        held_out = choose_held_out(speakers, settings.held_out)
        if len(held_out) < min(2, settings.held_out):
            raise UsageError("no two speakers with two clips to check by", "--held-out 0")
        self.unheard = [i for i, speaker in enumerate(speakers) if speaker in held_out]
        self.unheard_speakers = [speakers[i] for i in self.unheard]
        self.clips = clips
        variations = list(self._variations(clips))
        known = np.linalg.norm([each.embeddings for each in variations], axis=2).min(axis=0) > 0
        known[self.unheard] = False
        kept = np.flatnonzero(known)
        if len(kept) < recipe.training.batch_size:
            raise UsageError(f"{len(kept)} clips to learn from are too few for a batch")
        self.sampler = CropSampler(recipe, settings, variations, kept, compute.device)
        self.teacher_eer = self._eer(variations[0].embeddings[self.unheard])
        torch.manual_seed(recipe.training.seed)
        rows = recipe.frontend.image_size
        self.trunk, embedding_dim = build_trunk(recipe.model, image_rows=rows)
        targets = variations[0].embeddings.shape[1]
        if embedding_dim != targets:
            raise UsageError(
                f"the student's embedding has {embedding_dim} dimensions, the teacher's {targets}",
                f"--set model.pooling=statistics --set model.embedding_dim={targets}",
            )
        self.trunk.to(compute.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.frontend = build_frontend(recipe.frontend).to(compute.device)
        self.average = build_average(self.trunk, recipe.training.average)
        self.optimizer = build_optimizer(recipe.optimizer, self.trunk)
        self.step = 0
        self.history: list[CheckRow] = []
        self.terms: list[tuple[float, float, float]] = []  # since the last check
        if (lesson.folder / _LAST).is_file():
            self._restore()

    def _variations(self, clips: Clips) -> Iterator[Variation]:
        settings, count = self.lesson.settings, self.lesson.settings.variations
        folder = self.lesson.folder / "targets"
        folder.mkdir(exist_ok=True)
        for number in range(count):
            yield variation(
                folder,
                number,
                clips,
                self.lesson.teacher,
                settings,
                self.lesson.recipe.training.seed,
                workers=self.compute.workers,
                progress=lambda done, of, number=number: self.reporter.variation(  # type: ignore[misc]
                    number + 1, count, done, of
                ),
            )

    def learn(self) -> None:
        """Do the steps that are left."""
        settings, first, began = self.lesson.settings, self.step, time.monotonic()
        crops = 0
        with stop_signals() as stop:
            while self.step < settings.steps:
                crops += self._learn_step()
                elapsed = time.monotonic() - began
                self.reporter.step(self._progress(crops / elapsed, elapsed / (self.step - first)))
                if self.step % settings.check_every == 0 or self.step == settings.steps:
                    self._check()
                if stop.signum:
                    self._save()
                    raise Interrupted(
                        stop.signum,
                        f"stopped after {self.step} steps, all saved",
                        f"the same command goes on: --out {self.lesson.folder}",
                    )
        self._save_student()

    def _learn_step(self) -> int:
        recipe, settings = self.lesson.recipe, self.lesson.settings
        batch = self.sampler.batch(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.optimizer.learning_rate * settings.learning_rate(self.step)
        self.trunk.train()
        with self.compute.autocast():
            embedding = self.trunk(_in_colour(batch.images))
        terms = distillation_loss(
            embedding.float(),
            batch.targets,
            batch.bank,
            settings.temperature,
            settings.similarity_weight,
        )
        if not math.isfinite(terms.total.item()):
            raise TrainingError(
                f"the loss is {terms.total.item()} in step {self.step + 1}",
                "a lower optimizer.learning_rate?",
            )
        self.optimizer.zero_grad(set_to_none=True)
        terms.total.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.average.update_parameters(self.trunk)
        self.step += 1
        self.terms.append(tuple(term.item() for term in terms))  # type: ignore[arg-type]
        return len(batch.images)

    def _progress(self, crops_per_second: float, seconds_a_step: float) -> StepProgress:
        steps = self.lesson.settings.steps
        left = (steps - self.step) * seconds_a_step
        loss = self.terms[-1][0]
        return StepProgress(1, 1, self.step, steps, loss, crops_per_second, left)

    def _check(self) -> None:
        loss, cosine, similarity = (float(mean) for mean in np.mean(self.terms, axis=0))
        self.terms = []
        row: CheckRow = {
            "step": self.step,
            "loss": loss,
            "cosine": cosine,
            "similarity": similarity,
            "eer": self._eer(self._embed(self.unheard)) if self.unheard else math.nan,
            "teacher_eer": self.teacher_eer,
        }
        self.history.append(row)
        self._save()
        write_json(self.lesson.folder / "history.json", self.history)
        self.reporter.check(row)

    def _eer(self, embeddings: npt.NDArray[np.float32]) -> float:
        if not self.unheard:
            return math.nan
        centre = embeddings - embeddings.mean(axis=0)
        unit = centre / np.linalg.norm(centre, axis=1, keepdims=True).clip(min=1e-9)
        return verification_error(unit, self.unheard_speakers)

    @torch.inference_mode()
    def _embed(self, indices: Sequence[int]) -> npt.NDArray[np.float32]:
        """Embeddings [C, E] of clips as recorded, by the averaged network."""
        network = cast(nn.Module, self.average.module).eval()

        def run(batch: Any) -> Outputs:  # noqa: ANN401 - a Batch
            rows = (torch.from_numpy(x).to(self.compute.device) for x in (batch.pcm, batch.lengths))
            with self.compute.autocast():
                embedding = network(_in_colour(self.frontend(*rows))).float()
            unit = torch.nn.functional.normalize(embedding, dim=1).cpu().numpy()
            return Outputs(unit[:, :0], unit[:, :0], unit)

        samples: Iterator[tuple[int, Samples]] = ((i, self.clips.samples(i)) for i in indices)
        window, rate = self.frontend.window.samples, self.clips.sample_rate
        scores = score_clips(samples, run, window, rate, _BATCH)
        size = self.lesson.recipe.model.embedding_dim
        return np.stack([s.embedding if s.windows else np.zeros(size, np.float32) for s in scores])

    def _save(self) -> None:
        tensors = module_tensors("trunk", self.trunk)
        tensors |= module_tensors("averaged", cast(nn.Module, self.average.module))
        tensors |= optimizer_tensors("optimizer", self.optimizer)
        state = self._header() | {"position": {"step": self.step, "history": self.history}}
        save_checkpoint(self.lesson.folder / _LAST, tensors, cast(CheckpointState, state))

    def _save_student(self) -> None:
        tensors = module_tensors("net.trunk", cast(nn.Module, self.average.module))
        save_checkpoint(self.lesson.folder / STUDENT, tensors, self._header())

    def _header(self) -> CheckpointState:
        return {
            "recipe": self.lesson.recipe.to_dict(),
            "signal_path": SIGNAL_PATH,
            "bf16": self.compute.bf16,
            "versions": software_versions(),
        }

    def _restore(self) -> None:
        checkpoint = load_checkpoint(self.lesson.folder / _LAST)
        restore_module("trunk", self.trunk, checkpoint)
        restore_module("averaged", cast(nn.Module, self.average.module), checkpoint)
        restore_optimizer("optimizer", self.optimizer, checkpoint)
        position = checkpoint.state.get("position", {})
        self.step, self.history = position["step"], position["history"]
        self.average.n_averaged += self.step
        if self.step > self.lesson.settings.steps:
            raise RunError(f"{self.lesson.folder} has {self.step} steps already", "more --steps")


def _in_colour(image: torch.Tensor) -> torch.Tensor:
    """Image [B, 1, H, P] -> three equal channels, which a trunk of torchvision takes."""
    return image.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
