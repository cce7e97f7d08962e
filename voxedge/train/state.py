"""The state of a training: all that changes, saved in checkpoints and restored from them.

A training that was stopped and resumed ends with the same weights, to the last bit, as one that was
not: what does not stand in a checkpoint follows from the recipe and the position.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torchvision
from torch import Tensor, nn

import voxedge
from voxedge.errors import RunError
from voxedge.nn.frontend import SIGNAL_PATH
from voxedge.nn.speaker_net import SpeakerNet
from voxedge.train.build import build_center_loss, build_head
from voxedge.train.checkpoint import (
    CheckpointState,
    load_checkpoint,
    module_tensors,
    optimizer_tensors,
    refuse_other_signal_path,
    restore_module,
    restore_optimizer,
    save_checkpoint,
)
from voxedge.train.device import Compute
from voxedge.train.optimizers import build_average, build_center_optimizer, build_optimizer
from voxedge.train.recipe import Recipe
from voxedge.train.run import Job


@dataclass
class Position:
    """How far a training has come."""

    epoch: int = 0  # epochs done
    step: int = 0  # steps done of the current epoch
    sums: dict[str, float] = field(default_factory=dict)  # over the clips of the current epoch
    history: list[dict[str, float]] = field(default_factory=list)  # the rows of history.csv
    seconds: float = 0.0  # of training, over all resumes

    def add(self, means: Mapping[str, Tensor], clips: int) -> None:
        """Add the scalars of a step, means over its clips."""
        for name, mean in means.items():
            self.sums[name] = self.sums.get(name, 0.0) + mean.item() * clips
        self.sums["clips"] = self.sums.get("clips", 0.0) + clips

    def means(self) -> dict[str, float]:
        """The means over the clips of the current epoch."""
        clips = self.sums["clips"]
        return {name: total / clips for name, total in self.sums.items() if name != "clips"}

    def end_epoch(self, row: dict[str, float]) -> None:
        """Go on to the next epoch; ``row`` is the history of this one."""
        self.history.append(row)
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}


class TrainingState:
    """Everything that training changes: weights, their average, centers, optimisers, position.

    Args:
        job: the recipe and the data.
        compute: the device and the precision.
        net: with its initial weights, on its device.
        speed_classes: classes to train on, see ``TrainingInput``.
        steps: of an epoch.
    """

    def __init__(
        self, job: Job, compute: Compute, net: SpeakerNet, speed_classes: int, steps: int
    ) -> None:
        recipe, classes, embedding_dim = job.recipe, len(job.corpus.labels), net.head.in_features
        self.job = job
        self.compute = compute
        self.steps = steps
        self.net = net
        self.centers = build_center_loss(recipe.loss, speed_classes, embedding_dim)
        if self.centers is not None:
            self.centers.to(compute.device)
        self.learned = nn.ModuleDict({"net": net})
        if speed_classes > classes:  # the exported network has a head for the speakers only
            others = build_head(recipe.loss, speed_classes - classes, embedding_dim)
            self.learned["others"] = others.to(compute.device)
        decay = recipe.training.average
        self.average = build_average(net, decay) if decay else None
        self.optimizers = {"optimizer": build_optimizer(recipe.optimizer, self.learned)}
        if self.centers is not None:
            own = build_center_optimizer(recipe.optimizer, self.centers)
            self.optimizers["center_optimizer"] = own
        self.position = Position()

    @property
    def result(self) -> SpeakerNet:
        """The network that is validated and kept: the averaged one, if there is an average."""
        return self.net if self.average is None else cast(SpeakerNet, self.average.module)

    @property
    def heads(self) -> list[nn.Module]:
        """The head for the speakers and, if there are other speeds, the one for their classes."""
        return [self.net.head, *([self.learned["others"]] if "others" in self.learned else [])]

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What a checkpoint holds, by the prefix of its tensors."""
        found: dict[str, nn.Module] = {"learned": self.learned}
        if self.average is not None:
            found["averaged"] = self.result
        if self.centers is not None:
            found["centers"] = self.centers
        return found

    def progress(self, step: int) -> float:
        """Fraction of the training that is done before a step of the current epoch."""
        return (self.position.epoch + step / self.steps) / self.job.recipe.training.epochs

    def generator(self) -> torch.Generator:
        """Return a random generator that depends on the seed, the position and the rank only."""
        seeds = [self.job.recipe.training.seed, self.position.epoch, self.position.step]
        if rank := self.compute.group.rank:  # its clips are not degraded as those of the first
            seeds.append(rank)
        (seed,) = np.random.SeedSequence(seeds).generate_state(1)
        return torch.Generator().manual_seed(int(seed))

    def update_average(self) -> None:
        """Let the average, if there is one, follow the network after a step."""
        if self.average is not None:
            self.average.update_parameters(self.net)

    def save(self) -> None:
        """Write the checkpoint to resume from."""
        tensors: dict[str, Tensor] = {}
        for prefix, module in self.modules.items():
            tensors |= module_tensors(prefix, module)
        for prefix, optimizer in self.optimizers.items():
            tensors |= optimizer_tensors(prefix, optimizer)
        save_checkpoint(self.job.run.last, tensors, self._header())

    def save_result(self, path: Path, fitted: CheckpointState | None = None) -> None:
        """Write a checkpoint of the resulting network alone, and of what was fitted to it."""
        header = self._header()
        header.update(fitted or {})
        save_checkpoint(path, module_tensors("net", self.result), header)

    def restore(self) -> None:
        """Go back to the checkpoint that ``save`` wrote.

        Raises:
            RunError: there is none, it is damaged, or it is of another recipe, corpus or precision.
        """
        checkpoint = load_checkpoint(self.job.run.last)
        refuse_other_signal_path(checkpoint, self.job.run.last)
        self._refuse_other_job(checkpoint.state)
        for prefix, module in self.modules.items():
            restore_module(prefix, module, checkpoint)
        for prefix, optimizer in self.optimizers.items():
            restore_optimizer(prefix, optimizer, checkpoint)
        self.position = Position(**checkpoint.state["position"])
        # With another number of processes an epoch may have other steps.
        steps = checkpoint.state.get("steps", self.steps)
        self.position.step = self.position.step * self.steps // steps
        if self.average is not None:
            self.average.n_averaged += self.position.epoch * self.steps + self.position.step

    def _header(self) -> CheckpointState:
        return {
            "recipe": self.job.recipe.to_dict(),
            "labels": list(self.job.corpus.labels),
            "corpus": self.job.corpus.digest,
            "position": vars(self.position),
            "steps": self.steps,
            "bf16": self.compute.bf16,
            "threads": torch.get_num_threads(),  # sums of another number differ in the last bits
            "signal_path": SIGNAL_PATH,
            "versions": software_versions(),
        }

    def _refuse_other_job(self, saved: CheckpointState) -> None:
        recipe, corpus, _, run = self.job
        if saved["labels"] != list(corpus.labels) or saved["corpus"] != corpus.digest:
            raise RunError(f"the corpus has changed since {run.folder} was begun")
        epochs = {"training.epochs": recipe.training.epochs}  # more of them may be asked for
        if Recipe.from_dict(saved["recipe"]).with_values(epochs) != recipe:
            raise RunError(f"{run.folder} was begun with another recipe")
        if saved["bf16"] != self.compute.bf16:
            begun = "bf16" if saved["bf16"] else "fp32"
            raise RunError(f"{run.folder} was begun in {begun}", f"--precision {begun}")


def software_versions() -> dict[str, str]:
    """Versions of what computes a training."""
    return {
        "voxedge": voxedge.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
    }
