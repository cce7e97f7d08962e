"""The training loop: steps, epochs, and the end of a training.

It prints nothing: progress goes to a ``Reporter``. Signals are answered between two steps, where a
checkpoint can be written from which training goes on as if it had never stopped.

Several processes (``process_group``) run the same loop with the same state. The first one alone
validates, writes and reports.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext

import numpy as np
import torch
from torch import nn

from voxedge.audio.windows import Batch
from voxedge.data.corpus import Corpus
from voxedge.data.dataset import TrainingSet
from voxedge.data.split import Split
from voxedge.errors import CorpusError, Interrupted, TrainingError
from voxedge.files import write_json, write_text
from voxedge.metrics import top_k_hits
from voxedge.nn.speaker_net import CosineHead, SpeakerNet
from voxedge.train.analysis import begin_with_analysis
from voxedge.train.build import build_net
from voxedge.train.calibrate import Judge, calibrate
from voxedge.train.checkpoint import CheckpointState, load_checkpoint, restore_module
from voxedge.train.curves import draw_curves, event_writer
from voxedge.train.device import Compute
from voxedge.train.learner import Learner
from voxedge.train.objective import Objective
from voxedge.train.optimizers import learning_rate
from voxedge.train.pretrained.loop import train_head
from voxedge.train.process_group import ALONE, ProcessGroup
from voxedge.train.progress import Reporter, StepProgress
from voxedge.train.recipe import Recipe
from voxedge.train.run import Job, Metrics, Run, ValidationMetrics, locked
from voxedge.train.signals import Stop, stop_signals
from voxedge.train.state import TrainingState, software_versions
from voxedge.train.training_input import TrainingInput


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
    group: ProcessGroup = ALONE,
) -> Metrics:
    """Train all epochs, then calibrate the best network and measure it.

    Args:
        recipe: what is trained.
        corpus: the clips.
        split: their sides.
        run: the folder of the results; the recipe, corpus and split are already described in it.
        reporter: is called after every step and every epoch, in the first process.
        device: where to compute.
        bf16: see ``Compute``.
        workers: threads that decode clips.
        resume: go on from the checkpoint of the run.
        group: the processes that call this together, with equal arguments but for the device.

    Returns:
        The content of ``metrics.json``.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the state is saved in the run.
        TrainingError: the loss is not finite; the last good checkpoint is kept.
        RunError: nothing to resume, or it belongs to another recipe or corpus.
        CorpusError: the processes have read different corpora.
        FirstProcessEnded: in other processes than the first, in place of all these.
    """
    with ExitStack() as held, stop_signals() as stop:
        group.on_first(lambda: held.enter_context(locked(run.folder)))
        job, compute = Job(recipe, corpus, split, run), Compute(device, bf16, workers, group)
        if recipe.model.pretrained:
            run.make_latest()
            return train_head(job, compute, reporter, stop)
        trainer = _Trainer(job, compute, reporter, stop, resume)
        group.on_first(run.make_latest)
        trainer.run_epochs()
        return group.on_first(trainer.finish)


class _Trainer:
    """The state of a training, and what a step needs of its recipe and its data."""

    def __init__(
        self, job: Job, compute: Compute, reporter: Reporter, stop: Stop, resume: bool
    ) -> None:
        self.job, self.compute, self.reporter, self.stop = job, compute, reporter, stop
        self.group = compute.group
        with self.group.agreed():
            net, self.training_input, self.batches = self._prepared(resume)
        if job.recipe.model.knows_voices and not resume:
            self.group.on_first(lambda: self._begin(net))
        speed_classes = self.training_input.speed_classes
        self.state = TrainingState(job, compute, net, speed_classes, self.batches.steps)
        self.objective = Objective(job.recipe.loss, self.state.heads, net.parts, self.state.centers)
        self.learner = Learner(self.state, self.objective, compute)
        self.wrapped: tuple[bool, nn.Module] | None = None
        self.judge = self._judge(self.state.result, self._leave_if_stopped)
        self.finishing = False
        with self.group.agreed():
            if resume:
                self.state.restore()
        self.group.share(list(self.state.modules.values()))
        self.group.on_first(self._write_recipe if resume else self.state.save)

    def _prepared(self, resume: bool) -> tuple[SpeakerNet, TrainingInput, TrainingSet]:
        """The network with its initial weights, and what it learns from."""
        (recipe, corpus, split, _), compute = self.job, self.compute
        if self.group.on_first(lambda: corpus.digest) != corpus.digest:
            raise CorpusError("the processes have read different corpora")
        net = build_net(recipe, len(corpus.labels), "random" if resume else None)
        net.to(compute.device)
        net.trunk.to(memory_format=torch.channels_last)
        training_input = TrainingInput(recipe, net.frontend, len(corpus.labels), compute.device)
        batches = TrainingSet(
            corpus,
            split.of(corpus.entries, "train"),
            recipe.training.batch_size,
            training_input.window.samples,
            recipe.training.crop == "random",
            recipe.training.seed,
            recipe.training.min_steps,
            compute.workers,
            self.group.rank,
            self.group.size,
        )
        return net, training_input, batches

    def _write_recipe(self) -> None:
        """The run's recipe, which may have more epochs than before."""
        write_text(self.job.run.folder / "recipe.toml", self.job.recipe.to_toml())

    def _judge(self, net: SpeakerNet, between: Callable[[], None]) -> Judge:
        job, compute = self.job, self.compute
        return Judge(net, job.corpus, job.split, compute.device, compute.workers, between)

    def _begin(self, net: SpeakerNet) -> None:
        """Give a network that knows voices a head to begin with.

        Raises:
            Interrupted: a signal came; the run folder has no state yet.
        """
        seed = self.job.recipe.training.seed
        begin_with_analysis(
            self._judge(net, self._leave_unbegun),
            self.training_input.augment,
            lambda: torch.Generator().manual_seed(seed),
        )

    def _leave_unbegun(self) -> None:
        if self.stop.signum:
            raise Interrupted(
                self.stop.signum, "stopped before the first epoch", "the same command begins anew"
            )

    def run_epochs(self) -> None:
        """Train the epochs that are left."""
        epochs, state, first = self.job.recipe.training.epochs, self.state, self.group.first
        if first and state.position.epoch < epochs:  # the metrics of a shorter training
            self.job.run.metrics_path.unlink(missing_ok=True)
        writer = event_writer(self.job.run.folder, state.position.epoch) if first else nullcontext()
        with writer as events:
            while state.position.epoch < epochs:
                began, first_step = time.monotonic(), state.position.step
                for batch in self.batches.epoch(state.position.epoch, first_step):
                    self._step(batch)
                    elapsed = time.monotonic() - began
                    if first:
                        self.reporter.step(self._step_progress(elapsed, first_step))
                    if self._asked_to_stop():
                        state.position.seconds += elapsed
                        self.group.on_first(self._leave_if_stopped)
                elapsed = time.monotonic() - began
                row = self.group.on_first(self._validate)
                state.position.seconds += elapsed
                state.position.end_epoch(row)
                self.group.on_first(self._save_epoch)
                if events is not None:
                    for name, value in row.items():
                        events.add_scalar(name, value, state.position.epoch)
                    self.reporter.epoch(row, epochs)
                if self._asked_to_stop():
                    self.group.on_first(self._leave_if_stopped)

    def _step(self, batch: Batch[int]) -> None:
        """Train on one batch."""
        recipe, state, position = self.job.recipe, self.state, self.state.position
        # The schedule: a function of the position.
        progress = state.progress(position.step)
        frozen = progress < recipe.training.frozen
        state.learned.train()
        state.net.trunk.requires_grad_(not frozen).train(not frozen)
        for group in state.optimizers["optimizer"].param_groups:
            group["lr"] = learning_rate(recipe.optimizer, progress, position.epoch)
        # Forward: samples -> degraded images -> embedding -> loss.
        pcm, lengths, labels = (
            torch.from_numpy(array).to(self.compute.device)
            for array in (batch.pcm, batch.lengths, np.array(batch.keys))
        )
        image, labels = self.training_input(pcm, lengths, labels, state.generator())
        losses = self._trained_module(frozen)(image, labels, progress)
        self._require_finite(losses.total.item())
        # Backward, and the updates.
        for optimizer in state.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        self.group.backward(losses.total)
        for optimizer in state.optimizers.values():
            optimizer.step()
        self.learner.average_statistics()
        state.update_average()
        position.add(losses.logged, len(labels) * self.group.size)
        position.step += 1

    def _trained_module(self, frozen: bool) -> nn.Module:
        """The learner, wrapped anew when the trunk begins to learn."""
        if self.wrapped is None or self.wrapped[0] != frozen:
            self.wrapped = frozen, self.group.wrap(self.learner)
        return self.wrapped[1]

    def _asked_to_stop(self) -> bool:
        """Whether a signal has come to any of the processes."""
        asked = self.group.largest(self.stop.signum)
        if asked:  # else one that came meanwhile stays for the next time
            self.stop.signum = asked
        return asked != 0

    def _require_finite(self, loss: float) -> None:
        if not math.isfinite(loss):  # in all processes: it is the loss of the whole batch
            self.group.on_first(lambda: self._give_up(loss))

    def _give_up(self, loss: float) -> None:
        raise TrainingError(
            f"the loss is {loss} in epoch {self.state.position.epoch + 1}; the last good state"
            f" is {self.job.run.last}",
            "a lower --learning-rate?",
        )

    def _validate(self) -> dict[str, float]:
        """Validate after the last step of an epoch; return the epoch's row of the history."""
        scores, position = self.judge.scores("validation", "first"), self.state.position
        progress = self.state.progress(position.step - 1)  # of the last step
        return {
            "epoch": float(position.epoch + 1),
            **position.means(),
            "val_loss": scores.cross_entropy(),
            "val_top1": float(top_k_hits(scores.logits, scores.window_truth, 1).mean()),
            "val_top5": float(top_k_hits(scores.logits, scores.window_truth, 5).mean()),
            "learning_rate": learning_rate(self.job.recipe.optimizer, progress, position.epoch),
        }

    def _save_epoch(self) -> None:
        """Save the state, and the network if this is the best epoch so far."""
        state, run = self.state, self.job.run
        clips = len(self.job.split.of(self.job.corpus.entries, "validation"))
        if best_epoch(state.position.history, clips) == state.position.epoch:
            state.save_result(run.best)
        state.save()
        run.write_history(state.position.history)

    def finish(self) -> Metrics:
        """Calibrate the best network, measure it on the test side, and write the results."""
        self.finishing = True
        job, state, net = self.job, self.state, self.state.result
        best = load_checkpoint(job.run.best)
        restore_module("net", net, best)
        augment = self.training_input.augment
        temperature = calibrate(self.judge, job.recipe.loss, augment, state.generator)
        fitted: CheckpointState = {"duration_exponent": net.duration_exponent}
        if isinstance(net.head, CosineHead):
            fitted["cosine_scale"] = net.head.scale
        state.save_result(job.run.model, fitted)
        metrics = self._metrics(best.state["position"]["epoch"], temperature)
        write_json(job.run.metrics_path, metrics)
        draw_curves(state.position.history, job.recipe.name, job.run.folder / "curves.png")
        return metrics

    def _metrics(self, best: int, temperature: float) -> Metrics:
        position, test = self.state.position, None
        if self.job.split.of(self.job.corpus.entries, "test"):
            test = self.judge.scores("test", "all").accuracy(temperature)
        row = position.history[best - 1]
        clips = self.batches.clips * len(position.history)
        validation: ValidationMetrics = {
            "val_top1": row["val_top1"],
            "val_top5": row["val_top5"],
            "val_loss": row["val_loss"],
        }
        return {
            "test": test,
            "validation": validation,
            "best_epoch": best,
            "epochs": len(position.history),
            "temperature": temperature,
            "seconds": round(position.seconds, 1),
            "clips_per_second": round(clips / max(position.seconds, 1e-9), 1),
            "device": self.compute.where,
            "precision": self.compute.precision,
            "versions": software_versions(),
        }

    def _leave_if_stopped(self) -> None:
        """Save the state and leave, if a signal came; for use between two steps.

        Raises:
            Interrupted: a signal came.
        """
        if self.stop.signum:
            if not self.finishing:  # at the end the network is the best one, not the last one
                self.state.save()
            epoch, epochs = self.state.position.epoch, self.job.recipe.training.epochs
            where = f"in epoch {epoch + 1}" if epoch < epochs else "after the last epoch"
            raise Interrupted(
                self.stop.signum,
                f"stopped {where}, all saved",
                f"go on with: voxedge train --resume {self.job.run.folder}",
            )

    def _step_progress(self, elapsed: float, first_step: int) -> StepProgress:
        """Progress after ``elapsed`` seconds of this epoch, which began with ``first_step``."""
        position, steps = self.state.position, self.batches.steps
        epochs, done = self.job.recipe.training.epochs, position.step - first_step
        left = (epochs - position.epoch) * steps - position.step
        return StepProgress(
            position.epoch + 1,
            epochs,
            position.step,
            steps,
            position.means()["train_loss"],
            done * self.batches.batch_size / max(elapsed, 1e-9),
            left * elapsed / done,
        )


def best_epoch(history: Sequence[dict[str, float]], clips: int) -> int:
    """Choose the last epoch whose validation top-1 is not significantly below the highest one.

    With few clips the highest of many values is often chance, and later weights are better by the
    learning-rate schedule. The limit is two standard errors of the highest value, which counts as
    (hits + 1) / (clips + 2): otherwise the error would be 0 if all clips are hits.

    Args:
        history: the rows of history.csv.
        clips: validation clips.

    Returns:
        The epoch, counted from 1.
    """
    highest = max(row["val_top1"] for row in history)
    share = (highest * clips + 1) / (clips + 2)
    limit = highest - 2 * math.sqrt(share * (1 - share) / clips)
    return next(int(row["epoch"]) for row in reversed(history) if row["val_top1"] >= limit)
