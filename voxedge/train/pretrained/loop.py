"""Train a head on the embeddings of a trunk that stays as it is.

All that takes long is to embed, and that is kept on disk (``cache``). The head takes seconds, so a
training that is stopped begins it anew, with the same result.

Shapes: N windows, E embedding.
"""

from __future__ import annotations

import math
import time

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from voxedge.data.clips import Side
from voxedge.errors import Interrupted, TrainingError
from voxedge.files import write_json, write_text
from voxedge.inference.scoring import LabelledScores
from voxedge.metrics import top_k_hits
from voxedge.nn.window import Window
from voxedge.train.analysis import shrinkage_of
from voxedge.train.build import build_augment, build_center_loss
from voxedge.train.calibrate import judged_copies
from voxedge.train.checkpoint import CheckpointState, module_tensors, save_checkpoint
from voxedge.train.curves import draw_curves
from voxedge.train.device import Compute
from voxedge.train.lda import temperature_of
from voxedge.train.objective import Objective
from voxedge.train.optimizers import build_center_optimizer, build_optimizer, learning_rate
from voxedge.train.pretrained.cache import EmbeddingCache, Table
from voxedge.train.pretrained.network import PREFIX, build_embedding_head
from voxedge.train.pretrained.trunk import Trunk, copy_trunk
from voxedge.train.progress import Reporter
from voxedge.train.run import Job, Metrics
from voxedge.train.signals import Stop
from voxedge.train.state import Position, software_versions

#: The folder of caches, beside the run folders.
EMBEDDINGS = "embeddings"

_SMALLEST_BATCH = 8  # as in ``TrainingSet``


def train_head(job: Job, compute: Compute, reporter: Reporter, stop: Stop) -> Metrics:
    """Embed all clips of a run, train a head, calibrate and measure it; arguments as in ``train``.

    Raises:
        Interrupted: a signal came; what was embedded is kept.
        TrainingError: the loss is not finite.
        RunError, ModelError, UsageError: the trunk's file is missing, damaged or of another kind.
    """
    began = time.monotonic()
    job.run.metrics_path.unlink(missing_ok=True)  # those of a shorter training
    write_text(job.run.folder / "recipe.toml", job.recipe.to_toml())  # it may have more epochs
    copy_trunk(job.run, job.recipe)
    trunk = Trunk(job.run, compute.device, threads=1)  # each of several batches has its own
    sides = _Sides(job, compute, trunk, reporter, stop)
    trainer = _HeadTrainer(job, compute, sides, trunk)
    for epoch in range(job.recipe.training.epochs):
        trainer.run_epoch(epoch, reporter)
        _leave_if_stopped(stop, job)
    return trainer.finish(began)


class _Sides:
    """The embeddings of a run's clips, by the sides of its split.

    The training side is the first window of each clip as recorded, and a random one of each in
    every degraded copy; the other sides are all windows, as in inference. The validation side also
    has copies in noise, which the temperature is fitted on too.
    """

    def __init__(
        self, job: Job, compute: Compute, trunk: Trunk, reporter: Reporter, stop: Stop
    ) -> None:
        recipe, corpus, split, run = job
        window = Window(trunk.metadata.window, "repeat")
        augment = build_augment(recipe, window)
        if augment is not None:
            augment.to(compute.device)
        cache = EmbeddingCache(
            run.folder.parent / EMBEDDINGS,
            trunk,
            corpus,
            augment,
            torch.get_num_threads(),
            lambda: _leave_if_stopped(stop, job),
        )
        sides: tuple[Side, ...] = ("train", "validation", "test")
        entries = {side: split.of(corpus.entries, side) for side in sides}
        tables = [Table(side, entries[side]) for side in sides[1:] if entries[side]]
        tables.append(Table("train-recorded", entries["train"], "first"))
        if augment is not None:
            tables += [
                Table(f"train-{number}", entries["train"], augment=augment, number=number)
                for number in range(recipe.augment.copies)
            ]
        if augment is not None and recipe.augment.noise:
            noise = augment.only(noise=1.0)
            tables += [
                Table(f"validation-noise-{n}", entries["validation"], augment=noise, number=n)
                for n in range(judged_copies(len(entries["validation"])))
            ]
        self._tables = {table.name: table for table in tables}
        self._found = cache.tables(tables, reporter.embedded)
        self._classes = {label: index for index, label in enumerate(corpus.labels)}
        self.windows = cache.computed

    def training(self) -> tuple[Tensor, Tensor]:
        """Embeddings [N, E] and classes [N] of all training windows."""
        names = [name for name in self._found if name.partition("-")[0] == "train"]
        vectors = np.concatenate([self._found[name].vectors for name in names])
        truth = [self._truth(name)[self._found[name].clip_index] for name in names]
        return torch.from_numpy(vectors), torch.from_numpy(np.concatenate(truth))

    def scores(self, head: nn.Module, side: str, device: torch.device) -> list[LabelledScores]:
        """What a head says of a side's clips, and of each of their copies; none of no clips."""
        found = []
        for name, (vectors, clip_index) in self._found.items():
            if name.partition("-")[0] == side:
                with torch.inference_mode():
                    logits = head(torch.from_numpy(vectors).to(device)).cpu().numpy()
                found.append(LabelledScores(logits, clip_index, self._truth(name)))
        return found

    def _truth(self, name: str) -> npt.NDArray[np.int64]:
        """The class of each clip of a table."""
        entries = self._tables[name].entries
        return np.array([self._classes[entry.clip.speaker] for entry in entries], np.int64)


class _HeadTrainer:
    """A head, its optimisers, and what it learns from."""

    def __init__(self, job: Job, compute: Compute, sides: _Sides, trunk: Trunk) -> None:
        recipe, corpus, _, _ = job
        self.job, self.compute, self.sides, self.trunk = job, compute, sides, trunk
        vectors, truth = sides.training()
        self.vectors, self.truth = vectors.to(compute.device), truth.to(compute.device)
        classes, embedding_dim = len(corpus.labels), vectors.shape[1]
        self.net = build_embedding_head(recipe, classes, embedding_dim)
        shrinkage = shrinkage_of(len(truth), embedding_dim)
        self.net.fit(vectors.numpy(), truth.numpy(), shrinkage)
        self.net.to(compute.device)
        self.centers = build_center_loss(recipe.loss, classes, embedding_dim)
        self.optimizers = {"optimizer": build_optimizer(recipe.optimizer, self.net)}
        if self.centers is not None:
            self.centers.to(compute.device)
            self.optimizers["centers"] = build_center_optimizer(recipe.optimizer, self.centers)
        self.objective = Objective(recipe.loss, [self.net.head], (), self.centers)
        smallest = max(_SMALLEST_BATCH, len(truth) // recipe.training.min_steps)
        self.batch_size = min(recipe.training.batch_size, smallest)
        self.position = Position()

    def run_epoch(self, epoch: int, reporter: Reporter) -> None:
        """Go through all windows once, and validate."""
        recipe, position = self.job.recipe, self.position
        self.net.train()
        order = torch.randperm(len(self.truth), generator=self._generator(epoch))
        batches = [rows for rows in torch.split(order, self.batch_size) if len(rows) > 1]
        for step, rows in enumerate(batches):
            progress = (epoch + step / len(batches)) / recipe.training.epochs
            rate = learning_rate(recipe.optimizer, progress, epoch)
            for group in self.optimizers["optimizer"].param_groups:
                group["lr"] = rate
            self._step(rows.to(self.compute.device), progress)
        row = {"epoch": float(epoch + 1), **position.means(), **self._validate()}
        position.end_epoch(row | {"learning_rate": rate})
        self.job.run.write_history(position.history)
        reporter.epoch(position.history[-1], recipe.training.epochs)

    def _step(self, rows: Tensor, progress: float) -> None:
        labels = self.truth[rows]
        losses = self.objective(self.net.neck(self.vectors[rows]), labels, progress)
        if not math.isfinite(losses.total.item()):
            raise TrainingError(
                f"the loss is {losses.total.item()} in epoch {self.position.epoch + 1}",
                "a lower --learning-rate?",
            )
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers.values():
            optimizer.step()
        self.position.add(losses.logged, len(rows))

    def _validate(self) -> dict[str, float]:
        clean = self._scores("validation")[0]
        return {
            "val_loss": clean.cross_entropy(),
            "val_top1": float(top_k_hits(clean.logits, clean.window_truth, 1).mean()),
            "val_top5": float(top_k_hits(clean.logits, clean.window_truth, 5).mean()),
        }

    def _scores(self, side: str) -> list[LabelledScores]:
        return self.sides.scores(self.net.eval(), side, self.compute.device)

    def _generator(self, epoch: int) -> torch.Generator:
        (seed,) = np.random.SeedSequence([self.job.recipe.training.seed, epoch]).generate_state(1)
        return torch.Generator().manual_seed(int(seed))

    def finish(self, began: float) -> Metrics:
        """Calibrate the head, measure it on the test side, and write the results."""
        job, history = self.job, self.position.history
        temperature = temperature_of(self._scores("validation"))
        state: CheckpointState = {
            "recipe": job.recipe.to_dict(),
            "labels": list(job.corpus.labels),
            "corpus": job.corpus.digest,
            "trunk": self.trunk.metadata.digest,
            "versions": software_versions(),
        }
        save_checkpoint(job.run.model, module_tensors(PREFIX, self.net), state)
        test, last = self._scores("test"), history[-1]
        seconds = time.monotonic() - began
        metrics: Metrics = {
            "test": test[0].accuracy(temperature) if test else None,
            "validation": {
                "val_top1": last["val_top1"],
                "val_top5": last["val_top5"],
                "val_loss": last["val_loss"],
            },
            "best_epoch": len(history),
            "epochs": len(history),
            "temperature": temperature,
            "seconds": round(seconds, 1),
            "clips_per_second": round(self.sides.windows / max(seconds, 1e-9), 1),
            "device": str(self.compute.device),
            "precision": self.compute.precision,
            "versions": software_versions(),
        }
        write_json(job.run.metrics_path, metrics)
        draw_curves(history, job.recipe.name, job.run.folder / "curves.png")
        return metrics


def _leave_if_stopped(stop: Stop, job: Job) -> None:
    """Leave if a signal came; embeddings are on disk.

    Raises:
        Interrupted: a signal came.
    """
    if stop.signum:
        raise Interrupted(
            stop.signum,
            "stopped, embeddings saved",
            f"go on with: voxedge train --resume {job.run.folder}",
        )
