"""The processes that train together, each on a device and with its share of every batch.

The training loop knows this interface alone. A group of one does nothing; ``fabric`` has the group
of several. Whatever is written or told is written and told by the first process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from torch import Tensor, nn

from voxedge.errors import UsageError
from voxedge.train.recipe import Recipe

Result = TypeVar("Result")


class FirstProcessEnded(BaseException):
    """Raised in the other processes when the first one has ended and said why."""


class ProcessGroup:
    """A group of one process, and what a group of several has to do."""

    rank = 0  # of this process
    size = 1  # processes
    local_size = 1  # of them on this machine

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Make a module whose gradients are averaged over the processes in its backward pass.

        It is to be made anew when other parameters require gradients than before.
        """
        return module

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of a loss that a wrapped module gave."""
        loss.backward()  # type: ignore[no-untyped-call]

    def gather(self, rows: Tensor) -> Tensor:
        """Join the rows of all processes, in their order: [B / size, ...] -> [B, ...].

        Gradients flow back to where the rows came from. If each process computes the same loss of
        all rows, those of a wrapped module are the gradients of this loss.
        """
        return rows

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace floating-point tensors, which every process has, by their means."""

    def share(self, modules: Sequence[nn.Module]) -> None:
        """Give all processes the parameters and buffers of the first."""

    def largest(self, number: int) -> int:
        """The largest of the numbers of all processes."""
        return number

    def on_first(self, compute: Callable[[], Result]) -> Result:
        """Compute something in the first process, while the others wait for its result.

        Raises:
            FirstProcessEnded: in the others, if it raised an error, a signal's included.
        """
        return compute()

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """Surround what all processes do: if one of them fails, none goes on.

        Raises:
            TrainingError: in the first process, if only others have failed.
            FirstProcessEnded: in the others.
        """
        yield


#: The usual case.
ALONE = ProcessGroup()


def refuse_uneven(recipe: Recipe, processes: int) -> None:
    """Refuse a recipe whose batches cannot be shared equally.

    Raises:
        UsageError: see above; or there are no batches, because the trunk is a model file.
    """
    if processes == 1:
        return
    if recipe.model.pretrained:
        raise UsageError(
            "on top of a model file one process trains", "leave out --devices, or torchrun"
        )
    batch = recipe.training.batch_size
    if batch % processes or batch < 2 * processes:
        least = processes * max(2, -(-batch // processes))
        raise UsageError(
            f"a batch of {batch} clips cannot be shared equally by {processes} devices,"
            " at least two each",
            f"--batch-size {least}",
        )
