"""Several processes that train together, by Lightning Fabric: DDP over NCCL or gloo.

Fabric starts the processes and makes PyTorch's process group and its DDP module (Li et al. 2020,
"PyTorch Distributed: Experiences on accelerating data parallel training"); its own checkpoints,
data loaders and precisions are not used. It is imported for several processes only.
"""

from __future__ import annotations

import logging
import os
import subprocess
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from voxedge.errors import TrainingError
from voxedge.train.process_group import FirstProcessEnded, ProcessGroup, Result

_LONGEST_WAIT = timedelta(hours=12)  # for the first process, while it validates or calibrates
_SOON = 2.0  # seconds after which a process that was lost has its exit code
_LONGEST_END = 30.0  # seconds that another process may take to end

_HARMLESS = (
    "`broadcast_buffers` is deprecated",  # PyTorch 2.11 does not know its new name
    "Grad strides do not match bucket view strides",  # of convolutions of one pixel
)


class _Gather(torch.autograd.Function):
    """``ProcessGroup.gather``.

    Every process computes the same loss of all rows, so each has the gradient of its own rows
    without asking the others. DDP will divide by the number of processes, hence the factor.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, rank: int, size: int) -> Tensor:  # noqa: ANN401
        ctx.place = rank, size
        parts = [torch.empty_like(rows) for _ in range(size)]
        torch.distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        rank, size = ctx.place
        return size * gradient.chunk(size)[rank], None, None


class FabricGroup(ProcessGroup):
    """The group that this process belongs to.

    With ``--devices`` the first process starts the others, which run the same command; with
    torchrun they have been started.

    Args:
        processes: in the group.
        kind: ``cpu`` or ``cuda``; each process has a GPU of its own.
        torchrun: whether it has started them.
    """

    def __init__(self, processes: int, kind: str, torchrun: bool) -> None:
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        for message in _HARMLESS:
            warnings.filterwarnings("ignore", message)
        here = int(os.environ["LOCAL_WORLD_SIZE"]) if torchrun else processes
        self._fabric = Fabric(
            accelerator=kind,
            devices=here,
            num_nodes=processes // here,
            # Running statistics are averaged (``average``), not overwritten by those of the first.
            strategy=DDPStrategy(timeout=_LONGEST_WAIT, broadcast_buffers=False),
            plugins=[TorchElasticEnvironment() if torchrun else LightningEnvironment()],
        )
        self._fabric.launch()
        self._children: list[subprocess.Popen[bytes]] = []
        self._told = False  # the others, that this process fails
        self.rank, self.size, self.local_size = self._fabric.global_rank, processes, here
        self.device: torch.device = self._fabric.device

    def wrap(self, module: nn.Module) -> nn.Module:
        """See ``ProcessGroup``."""
        wrapped: nn.Module = self._fabric.setup_module(module)
        return wrapped

    def backward(self, loss: Tensor) -> None:
        """See ``ProcessGroup``."""
        self._fabric.backward(loss)

    def gather(self, rows: Tensor) -> Tensor:
        """See ``ProcessGroup``."""
        joined: Tensor = _Gather.apply(rows, self.rank, self.size)
        return joined

    def average(self, tensors: Sequence[Tensor]) -> None:
        """See ``ProcessGroup``."""
        if not tensors:
            return
        means = torch.cat([tensor.flatten() for tensor in tensors])
        self._fabric.all_reduce(means, reduce_op="mean")
        parts = torch.split(means, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    @torch.no_grad()
    def share(self, modules: Sequence[nn.Module]) -> None:
        """See ``ProcessGroup``."""
        for module in modules:
            for tensor in (*module.parameters(), *module.buffers()):
                torch.distributed.broadcast(tensor.data, 0)

    def largest(self, number: int) -> int:
        """See ``ProcessGroup``."""
        numbers = torch.tensor([number], device=self.device)
        return int(self.gather(numbers).max())

    def on_first(self, compute: Callable[[], Result]) -> Result:
        """See ``ProcessGroup``."""
        results: list[Result] = []
        failure: BaseException | None = None
        if self.first:
            try:
                results.append(compute())
            except BaseException as error:  # noqa: BLE001 - raised below
                failure = error
        results = self._fabric.broadcast(results)
        if failure is not None:
            self._told = True
            raise failure
        if not results:
            raise FirstProcessEnded
        return results[0]

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """See ``ProcessGroup``."""
        failure: Exception | None = None
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised below
            failure = error
        found: list[str | None] = [None] * self.size
        torch.distributed.all_gather_object(found, None if failure is None else str(failure))
        failed = [rank for rank, message in enumerate(found) if message is not None]
        if not failed:
            return
        if not self.first:
            raise FirstProcessEnded
        self._told = True
        raise failure or TrainingError(f"process {failed[0]}: {found[failed[0]]}")

    def cause_of(self, error: RuntimeError) -> Exception:
        """What made a collective operation fail: if another process was lost, that."""
        for rank, child in enumerate(self._released(), 1):
            with suppress(subprocess.TimeoutExpired):
                if child.wait(_SOON):
                    return TrainingError(
                        f"process {rank} has ended with exit code {child.returncode}",
                        "the state of the last epoch is saved: voxedge train --resume",
                    )
        return error

    def end(self, failed: bool) -> None:
        """Wait for the processes that this one has started.

        Args:
            failed: whether this one has; then the others are ended, if they were not told.
        """
        children = self._released()
        for child in children:
            if failed and not self._told:
                child.terminate()
        for child in children:
            try:
                child.wait(_LONGEST_END)
            except subprocess.TimeoutExpired:
                child.kill()

    def _released(self) -> list[subprocess.Popen[bytes]]:
        """The processes that this one has started.

        Fabric no longer watches them: it kills this process soon after one ends by an error.
        """
        watched = getattr(self._fabric.strategy.launcher, "procs", [])
        self._children += watched
        watched.clear()
        return self._children
