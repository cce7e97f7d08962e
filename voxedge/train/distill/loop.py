"""The loop of a distillation: targets, steps, checks on speakers that it does not train on.

It prints nothing: progress goes to a ``DistillReporter``. A stopped distillation goes on as if it
had never stopped.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, Protocol, TypedDict

import numpy as np
import numpy.typing as npt
import torch

from voxedge.audio.windows import Batch
from voxedge.errors import Interrupted, RunError, TrainingError
from voxedge.files import write_json
from voxedge.inference.scoring import Outputs, score_clips
from voxedge.nn.distillation import distillation_loss
from voxedge.nn.frontend import SIGNAL_PATH
from voxedge.nn.trunks import in_colour
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
from voxedge.train.distill.lesson import MAY_GROW, Lesson, Roles, check_teacher, refuse_other
from voxedge.train.distill.speakers import verification_error
from voxedge.train.distill.targets import Clips, Targets, Variation
from voxedge.train.optimizers import build_average, build_optimizer
from voxedge.train.progress import StepProgress
from voxedge.train.run import locked
from voxedge.train.signals import Stop, stop_signals
from voxedge.train.state import software_versions
from voxedge.train.weights import build_trunk

STUDENT = "student.safetensors"
_LAST = "last.safetensors"
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
    eer: float | None  # 0 to 1; None where no speaker is held out
    teacher_eer: float | None


def threads_of(folder: Path) -> int:
    """Threads that a distillation was begun with; 0 where none was begun."""
    path = folder / _LAST
    return load_checkpoint(path).state.get("threads", 0) if path.is_file() else 0


def distill(lesson: Lesson, compute: Compute, reporter: DistillReporter) -> list[CheckRow]:
    """Teach a student; a folder that was begun is continued.

    Args:
        lesson: recipe, settings, corpora, teacher and folder.
        compute: device, precision, threads that decode.
        reporter: of the progress.

    Returns:
        The checks; ``student.safetensors`` in the folder is the averaged network.

    Raises:
        Interrupted: SIGINT or SIGTERM came; all is saved.
        UsageError: the folder is of another distillation, or the teacher does not fit.
        RunError: the folder has more steps or variations already, or is damaged.
        TrainingError: the loss is not finite.
    """
    check_teacher(lesson.recipe, lesson.teacher)
    lesson.folder.mkdir(parents=True, exist_ok=True)
    with locked(lesson.folder), stop_signals() as stop:
        roles = Roles.of(lesson)
        refuse_other(lesson, roles)
        student = _Student(lesson, roles, compute, reporter, stop)
        student.learn()
        return student.history


class _Student:
    """The network that learns, and what it learns from."""

    def __init__(
        self,
        lesson: Lesson,
        roles: Roles,
        compute: Compute,
        reporter: DistillReporter,
        stop: Stop,
    ) -> None:
        recipe, settings = lesson.recipe, lesson.settings
        self.lesson, self.compute, self.reporter, self.stop = lesson, compute, reporter, stop
        self.step = 0
        variations = self._variations(roles.clips)
        self.recorded, self.compared = variations[0], roles.compared
        self.speakers = [roles.speakers[index] for index in roles.compared]
        known = np.linalg.norm([each.embeddings for each in variations], axis=2).min(axis=0) > 0
        kept = roles.kept[known[roles.kept]]
        self.sampler = CropSampler(recipe, settings, variations, kept, compute.device)
        self.teacher_eer = self._eer(self.recorded.embeddings[roles.compared])
        torch.manual_seed(recipe.training.seed)
        rows = recipe.frontend.image_size
        trunk, self.embedding_dim = build_trunk(recipe.model, image_rows=rows)
        self.trunk = trunk.to(compute.device).to(memory_format=torch.channels_last)
        self.frontend = build_frontend(recipe.frontend).to(compute.device)
        self.average = build_average(self.trunk, recipe.training.average)
        self.optimizer = build_optimizer(recipe.optimizer, self.trunk)
        self.history: list[CheckRow] = []
        self.terms: list[list[float]] = []  # since the last check
        if (lesson.folder / _LAST).is_file():
            self._restore()

    def _variations(self, clips: Clips) -> list[Variation]:
        count, every = self.lesson.settings.variations, len(clips.entries)
        targets = Targets(
            self.lesson.targets or self.lesson.folder / "targets",
            clips,
            self.lesson.teacher,
            self.lesson.settings,
            self.lesson.recipe.training.seed,
            workers=self.compute.workers,
            between=self._leave_if_stopped,
            progress=lambda number, done: self.reporter.variation(number + 1, count, done, every),
        )
        return [targets.variation(number) for number in range(count)]

    def learn(self) -> None:
        """Do the steps that are left."""
        settings, first, began = self.lesson.settings, self.step, time.monotonic()
        crops = 0
        while self.step < settings.steps:
            crops += self._learn_step()
            elapsed = time.monotonic() - began
            self.reporter.step(self._progress(crops / elapsed, elapsed / (self.step - first)))
            if self.step % settings.check_every == 0 or self.step == settings.steps:
                self._check()
            if self.stop.signum:
                self._save()
                self._leave_if_stopped()
        self._save_student()

    def _leave_if_stopped(self) -> None:
        if self.stop.signum:
            where = f"after {self.step} steps" if self.step else "before the first step"
            raise Interrupted(
                self.stop.signum,
                f"stopped {where}, all saved",
                f"the same command continues it: --out {self.lesson.folder}",
            )

    def _learn_step(self) -> int:
        recipe, settings = self.lesson.recipe, self.lesson.settings
        batch = self.sampler.batch(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.optimizer.learning_rate * settings.learning_rate(self.step)
        self.trunk.train()
        with self.compute.autocast():
            embedding = self.trunk(_channels_last(batch.images))
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
        self.terms.append([term.item() for term in terms])
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
            "eer": self._eer(self._embed()) if self.compared else None,
            "teacher_eer": self.teacher_eer,
        }
        self.history.append(row)
        self._save()
        write_json(self.lesson.folder / "history.json", self.history)
        self.reporter.check(row)

    def _eer(self, embeddings: npt.NDArray[np.float32]) -> float | None:
        return verification_error(embeddings, self.speakers) if self.compared else None

    @torch.inference_mode()
    def _embed(self) -> npt.NDArray[np.float32]:
        """Embeddings [C, E] by the averaged network of the clips to check by, as recorded."""
        network = self.average.module.eval()

        def run(batch: Batch[Any]) -> Outputs:
            rows = (torch.from_numpy(x).to(self.compute.device) for x in (batch.pcm, batch.lengths))
            with self.compute.autocast():
                embedding = network(_channels_last(self.frontend(*rows))).float()
            unit = torch.nn.functional.normalize(embedding, dim=1).cpu().numpy()
            return Outputs(unit[:, :0], unit[:, :0], unit)

        samples = ((index, self.recorded.samples(index)) for index in self.compared)
        window, rate = self.frontend.window.samples, self.lesson.recipe.frontend.sample_rate
        scores = score_clips(samples, run, window, rate, _BATCH)
        nothing = np.zeros(self.embedding_dim, np.float32)
        return np.stack([each.embedding if each.windows else nothing for each in scores])

    def _save(self) -> None:
        tensors = module_tensors("trunk", self.trunk)
        tensors |= module_tensors("averaged", self.average.module)
        tensors |= optimizer_tensors("optimizer", self.optimizer)
        position = {
            "step": self.step,
            "history": self.history,
            "terms": self.terms,
            "variations": self.lesson.settings.variations,
        }
        state: CheckpointState = {**self._header(), "position": position}
        save_checkpoint(self.lesson.folder / _LAST, tensors, state)

    def _save_student(self) -> None:
        """Write the averaged network: weights in float16, norms in float32."""
        tensors = module_tensors("net.trunk", self.average.module)
        tensors = {k: v.half() if v.ndim > 1 else v for k, v in tensors.items()}
        save_checkpoint(self.lesson.folder / STUDENT, tensors, self._header())

    def _header(self) -> CheckpointState:
        return {
            "recipe": self.lesson.recipe.to_dict(),
            "signal_path": SIGNAL_PATH,
            "bf16": self.compute.bf16,
            "threads": torch.get_num_threads(),
            "versions": software_versions(),
        }

    def _restore(self) -> None:
        """Go back to the last checkpoint.

        Raises:
            RunError: it is damaged, or has more than is asked for, or another precision.
        """
        folder, settings = self.lesson.folder, self.lesson.settings
        checkpoint = load_checkpoint(folder / _LAST)
        position = checkpoint.state.get("position", {})
        for name in MAY_GROW:
            if (had := position.get(name.replace("steps", "step"), 0)) > getattr(settings, name):
                raise RunError(f"{folder} has {had} {name} already", f"--{name} {had}, or more")
        if checkpoint.state["bf16"] != self.compute.bf16:
            begun = "bf16" if checkpoint.state["bf16"] else "fp32"
            raise RunError(f"{folder} was begun in {begun}", f"--precision {begun}")
        restore_module("trunk", self.trunk, checkpoint)
        restore_module("averaged", self.average.module, checkpoint)
        restore_optimizer("optimizer", self.optimizer, checkpoint)
        self.step, self.history = position["step"], position["history"]
        self.terms = position.get("terms", [])
        self.average.n_averaged += self.step


def _channels_last(image: torch.Tensor) -> torch.Tensor:
    return in_colour(image).contiguous(memory_format=torch.channels_last)
