"""The training loop: one forward pass a step, everything resumable, nothing printed.

What happens is told to a ``Reporter``; signals are answered between two steps, so that a stop is
always at a place from which training goes on bit by bit as if it had not stopped.

Shapes: B batch, S samples, K classes, E embedding.
"""

from __future__ import annotations

import copy
import math
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

import voxedge
from voxedge.data.corpus import Corpus
from voxedge.data.dataset import TrainingSet
from voxedge.data.split import Split
from voxedge.errors import Interrupted, RunError, TrainingError
from voxedge.files import write_json, write_text
from voxedge.metrics import top_k_hits
from voxedge.nn.convolution import with_products
from voxedge.nn.frontend import SIGNAL_PATH
from voxedge.nn.losses import margin_at, with_margin
from voxedge.nn.speaker_net import CosineHead
from voxedge.train.average import update_average
from voxedge.train.build import build_center_loss, build_head, build_net
from voxedge.train.calibrate import Judge, calibrate
from voxedge.train.checkpoint import (
    load_checkpoint,
    module_tensors,
    optimizer_tensors,
    refuse_other_signal_path,
    restore_module,
    restore_optimizer,
    save_checkpoint,
)
from voxedge.train.curves import draw_curves
from voxedge.train.optimizers import build_center_optimizer, build_optimizer, learning_rate
from voxedge.train.progress import Reporter, StepProgress
from voxedge.train.recipe import Recipe
from voxedge.train.run import Run, locked
from voxedge.train.signals import Stop, stop_signals
from voxedge.train.training_input import View


@dataclass
class _Position:
    """What a checkpoint knows beside tensors."""

    epoch: int = 0  # counted from 0
    step: int = 0  # steps done of that epoch
    sums: dict[str, float] = field(default_factory=dict)  # over the epoch so far
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0  # of training in all, over every resume


def train(
    recipe: Recipe,
    corpus: Corpus,
    split: Split,
    run: Run,
    reporter: Reporter,
    *,
    device: torch.device,
    bf16: bool,
    workers: int = 0,
    resume: bool = False,
) -> dict[str, Any]:
    """Train to the end and measure; the content of ``metrics.json`` is returned.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the state is saved in the run.
        TrainingError: the loss is not finite; the last good checkpoint is kept.
        RunError: nothing to resume, or it belongs to another recipe or corpus.
    """
    with locked(run.folder), stop_signals() as stop:
        trainer = _Trainer(
            recipe, corpus, split, run, reporter, device, bf16, workers, stop, resume
        )
        run.make_latest()
        trainer.run_epochs()
        return trainer.finish()


class _Trainer:
    def __init__(
        self,
        recipe: Recipe,
        corpus: Corpus,
        split: Split,
        run: Run,
        reporter: Reporter,
        device: torch.device,
        bf16: bool,
        workers: int,
        stop: Stop,
        resume: bool,
    ) -> None:
        self.recipe, self.corpus, self.split, self.run = recipe, corpus, split, run
        self.reporter, self.device, self.bf16, self.workers = reporter, device, bf16, workers
        self.stop = stop
        self.labels = list(corpus.labels)
        init = "random" if resume else None  # a checkpoint holds all weights
        self.net = build_net(recipe, len(self.labels), init).to(device)
        with_products(self.net.trunk)
        self.net.trunk.to(memory_format=torch.channels_last)
        classes, embedding_dim = len(self.labels), self.net.head.in_features
        self.view = View(recipe, self.net.frontend, classes, device)
        voices = self.view.voices
        self.centers = build_center_loss(recipe.loss, voices, embedding_dim)
        if self.centers is not None:
            self.centers.to(device)
        self.learned = nn.ModuleDict({"net": self.net})
        if voices > classes:
            others = build_head(recipe.loss, voices - classes, embedding_dim)
            self.learned["others"] = others.to(device)
        self.averaged = copy.deepcopy(self.net) if recipe.training.average else self.net
        self.judge = Judge(self.averaged, corpus, split, device, workers, self._heed_signals)
        self.optimizer = build_optimizer(recipe.optimizer, self.learned)
        self.center_optimizer = build_center_optimizer(recipe.optimizer, self.centers)
        self.training_set = TrainingSet(
            corpus,
            split.of(corpus.entries, "train"),
            recipe.training.batch_size,
            self.view.whole.samples,
            recipe.training.crop == "random",
            recipe.training.seed,
            recipe.training.min_steps,
            workers,
        )
        self.position = _Position()
        self.finished = False
        if resume:
            self._restore()
            write_text(run.folder / "recipe.toml", recipe.to_toml())  # more epochs, perhaps
        else:
            self._save_last()

    # --- the loop ---------------------------------------------------------------------------

    def run_epochs(self) -> None:
        epochs = self.recipe.training.epochs
        if self.position.epoch < epochs:  # what an earlier end measured holds no more
            self.run.metrics_path.unlink(missing_ok=True)
        with _event_writer(self.run, self.position.epoch) as events:
            while self.position.epoch < epochs:
                began, done_before = time.monotonic(), self.position.step
                for batch in self.training_set.epoch(self.position.epoch, self.position.step):
                    labels = torch.from_numpy(np.array(batch.keys)).to(self.device)
                    pcm = torch.from_numpy(batch.pcm).to(self.device)
                    lengths = torch.from_numpy(batch.lengths).to(self.device)
                    self._step(pcm, lengths, labels)
                    self.position.step += 1
                    elapsed = time.monotonic() - began
                    self.reporter.step(self._progress(elapsed, self.position.step - done_before))
                    if self.stop.signum:
                        self.position.seconds += elapsed
                        self._heed_signals()
                self._end_epoch(time.monotonic() - began, events)
                self.reporter.epoch(self.position.history[-1], epochs)
                self._heed_signals()

    def _heed_signals(self) -> None:
        """Save and leave, if a signal came. Called where the position is one to go on from."""
        if self.stop.signum:
            if not self.finished:  # then the network is the best one, not the last
                self._save_last()
            epoch, epochs = self.position.epoch, self.recipe.training.epochs
            where = f"in epoch {epoch + 1}" if epoch < epochs else "after the last epoch"
            raise Interrupted(
                self.stop.signum,
                f"stopped {where}, all saved",
                f"go on with: voxedge train --resume {self.run.folder}",
            )

    def _step(self, pcm: Tensor, lengths: Tensor, labels: Tensor) -> None:
        recipe = self.recipe
        self.learned.train()
        frozen = self._progress_of_all() < recipe.training.frozen
        self.net.trunk.requires_grad_(not frozen).train(not frozen)
        image, labels = self.view(pcm, lengths, labels, self._generator())
        with self._autocast():
            embedding = self.net.embed(image.to(memory_format=torch.channels_last))
        embedding = embedding.float()
        logits = self._logits(embedding)
        loss = self._classification_loss(logits, labels)
        if recipe.loss.auxiliary_heads:
            alone = [self._logits(embedding, part) for part in self.net.parts]
            alone = [self._classification_loss(logits, labels) for logits in alone]
            loss = (loss + sum(alone)) / (1 + len(alone))
        sums = {"train_loss": loss}
        if self.centers is not None:
            terms = self.centers(embedding, labels)
            loss = loss + self._center_weight() * terms.loss
            sums |= {"center_loss": terms.loss, "intra": terms.intra, "inter": terms.inter}
        sums["train_top1"] = (logits.argmax(dim=1) == labels).float().mean()
        if not math.isfinite(loss.item()):
            raise TrainingError(
                f"the loss is {loss.item()} in epoch {self.position.epoch + 1}; the last good state"
                f" is {self.run.last}",
                "a lower --learning-rate?",
            )
        rate = learning_rate(recipe.optimizer, self._progress_of_all(), self.position.epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        optimizers = [self.optimizer, *filter(None, [self.center_optimizer])]
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
        if self.averaged is not self.net:
            steps = self.position.epoch * self.training_set.steps + self.position.step
            update_average(self.averaged, self.net, recipe.training.average, steps)
        for name, value in sums.items():
            weighted = value.item() * len(labels)
            self.position.sums[name] = self.position.sums.get(name, 0.0) + weighted
        self.position.sums["clips"] = self.position.sums.get("clips", 0.0) + len(labels)

    def _logits(self, embedding: Tensor, part: slice | None = None) -> Tensor:
        """Of all voices, [B, voices]; of a part of the embedding alone if asked."""
        heads = [self.net.head, *([self.learned["others"]] if "others" in self.learned else [])]
        arguments = (embedding,) if part is None else (embedding, part)
        return torch.cat([head(*arguments) for head in heads], dim=1)

    def _classification_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        loss = self.recipe.loss
        if loss.head == "cosine":
            logits = with_margin(
                logits, labels, loss.scale, margin_at(loss.margin, self._progress_of_all())
            )
        return F.cross_entropy(logits, labels, label_smoothing=loss.label_smoothing)

    def _end_epoch(self, elapsed: float, events: Any) -> None:  # noqa: ANN401
        position, recipe = self.position, self.recipe
        scores = self.judge.scores("validation", "first")
        clips = position.sums.pop("clips")
        row = {"epoch": float(position.epoch + 1)}
        row |= {name: total / clips for name, total in position.sums.items()}
        row["val_loss"] = scores.cross_entropy()
        row["val_top1"] = float(top_k_hits(scores.logits, scores.window_truth, 1).mean())
        row["val_top5"] = float(top_k_hits(scores.logits, scores.window_truth, 5).mean())
        position.step -= 1  # the last one done
        row["learning_rate"] = learning_rate(
            recipe.optimizer, self._progress_of_all(), position.epoch
        )
        position.history.append(row)
        position.seconds += elapsed
        position.epoch, position.step, position.sums = position.epoch + 1, 0, {}
        for name, value in row.items():
            events.add_scalar(name, value, position.epoch)
        if _best(position.history, len(scores.truth)) is row:
            save_checkpoint(self.run.best, module_tensors("net", self.averaged), self._state())
        self._save_last()
        self.run.write_history(position.history)

    def finish(self) -> dict[str, Any]:
        """Measure the best network the way ``identify`` answers, write it down, draw the curves."""
        self.finished = True
        best = load_checkpoint(self.run.best)
        restore_module("net", self.averaged, best)
        augment = self.view.augment
        temperature = calibrate(self.judge, self.recipe.loss, augment, self._generator)
        state = self._state() | {"duration_exponent": self.averaged.duration_exponent}
        if isinstance(self.averaged.head, CosineHead):
            state["cosine_scale"] = self.averaged.head.scale
        save_checkpoint(self.run.model, module_tensors("net", self.averaged), state)
        history, best_epoch = self.position.history, best.state["position"]["epoch"]
        row = history[best_epoch - 1]
        trained = self.training_set.clips * len(history)
        metrics = {
            "test": self._tested(temperature),
            "validation": {name: row[name] for name in ("val_top1", "val_top5", "val_loss")},
            "best_epoch": best_epoch,
            "epochs": len(history),
            "temperature": temperature,
            "seconds": round(self.position.seconds, 1),
            "clips_per_second": round(trained / max(self.position.seconds, 1e-9), 1),
            "device": str(self.device),
            "precision": "bf16" if self.bf16 else "fp32",
            "versions": versions(),
        }
        write_json(self.run.metrics_path, metrics)
        draw_curves(history, self.recipe.name, self.run.folder / "curves.png")
        return metrics

    def _tested(self, temperature: float) -> dict[str, Any] | None:
        if not self.split.of(self.corpus.entries, "test"):
            return None
        return self.judge.scores("test", "all").measured(temperature)

    # --- state ------------------------------------------------------------------------------

    def _restore(self) -> None:
        """Go back to the last checkpoint of the run."""
        checkpoint = load_checkpoint(self.run.last)
        refuse_other_signal_path(checkpoint, self.run.last)
        state = checkpoint.state
        if state["labels"] != self.labels or state["corpus"] != self.corpus.digest:
            raise RunError(f"the corpus has changed since {self.run.folder} was begun")
        epochs = {"training.epochs": self.recipe.training.epochs}  # more may be asked for
        then = Recipe.from_dict(state["recipe"]).with_values(epochs)
        if then != self.recipe:
            raise RunError(f"{self.run.folder} was begun with another recipe")
        if state["bf16"] != self.bf16:
            begun = "bf16" if state["bf16"] else "fp32"
            raise RunError(f"{self.run.folder} was begun in {begun}", f"--precision {begun}")
        restore_module("learned", self.learned, checkpoint)
        if self.averaged is not self.net:
            restore_module("averaged", self.averaged, checkpoint)
        restore_optimizer("optimizer", self.optimizer, checkpoint)
        if self.centers is not None and self.center_optimizer is not None:
            restore_module("centers", self.centers, checkpoint)
            restore_optimizer("center_optimizer", self.center_optimizer, checkpoint)
        self.position = _Position(**state["position"])

    def _save_last(self) -> None:
        tensors = module_tensors("learned", self.learned)
        if self.averaged is not self.net:
            tensors |= module_tensors("averaged", self.averaged)
        tensors |= optimizer_tensors("optimizer", self.optimizer)
        if self.centers is not None and self.center_optimizer is not None:
            tensors |= module_tensors("centers", self.centers)
            tensors |= optimizer_tensors("center_optimizer", self.center_optimizer)
        save_checkpoint(self.run.last, tensors, self._state())

    def _state(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe.to_dict(),
            "labels": self.labels,
            "corpus": self.corpus.digest,
            "position": vars(self.position),
            "bf16": self.bf16,
            "signal_path": SIGNAL_PATH,
            "versions": versions(),
        }

    # --- small things -----------------------------------------------------------------------

    def _generator(self) -> torch.Generator:
        position, seed = self.position, self.recipe.training.seed
        mixed = np.random.SeedSequence([seed, position.epoch, position.step]).generate_state(1)
        return torch.Generator().manual_seed(int(mixed[0]))

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def _center_weight(self) -> float:
        loss = self.recipe.loss
        risen = self._progress_of_all() / loss.center_warm_up if loss.center_warm_up else 1.0
        return loss.center_weight * min(1.0, risen)

    def _progress_of_all(self) -> float:
        done = self.position.epoch + self.position.step / self.training_set.steps
        return done / self.recipe.training.epochs

    def _progress(self, elapsed: float, steps_done: int) -> StepProgress:
        position, steps = self.position, self.training_set.steps
        epochs = self.recipe.training.epochs
        left = (epochs - position.epoch) * steps - position.step
        rate = steps_done * self.training_set.batch_size / max(elapsed, 1e-9)
        return StepProgress(
            position.epoch + 1,
            epochs,
            position.step,
            steps,
            position.sums["train_loss"] / position.sums["clips"],
            rate,
            left * elapsed / steps_done,
        )


def _best(history: Sequence[dict[str, float]], clips: int) -> dict[str, float]:
    """The last epoch that cannot be told from the one with the highest top-1.

    Few clips say little: the highest of many figures is often chance, and by the schedule later
    weights are better ones. Two standard errors of the highest are the limit; of C clips named
    right it counts C + 1 of C + 2, else there would be no error where all are.
    """
    highest = max(row["val_top1"] for row in history)
    share = (highest * clips + 1) / (clips + 2)
    limit = highest - 2 * math.sqrt(share * (1 - share) / clips)
    return next(row for row in reversed(history) if row["val_top1"] >= limit)


def versions() -> dict[str, str]:
    """What computed this."""
    return {
        "voxedge": voxedge.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
    }


@contextmanager
def _event_writer(run: Run, epoch: int) -> Iterator[Any]:
    from torch.utils.tensorboard import SummaryWriter  # slow to import, needed here only

    writer = SummaryWriter(str(run.folder), purge_step=epoch + 1)
    try:
        yield writer
    finally:
        writer.close()
