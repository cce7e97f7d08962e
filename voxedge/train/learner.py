"""What learns in a step: images -> embeddings -> the loss of the batch of all processes.

Each process embeds its share of the batch, and the objective sees all of it. So the loss, the
gradients of heads and centers, and the history are those of one process, also where a loss is a
sum over the batch or a ratio of such sums. Batch normalisation sees a share alone, as is usual with
DDP; its running statistics are averaged after every step.

Shapes: B batch of all processes, P pixels of a side.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from voxedge.train.device import Compute
from voxedge.train.objective import Losses, Objective
from voxedge.train.state import TrainingState


class Learner(nn.Module):
    """The forward pass of training.

    Args:
        state: the network, the heads and the centers, which are this module's own.
        objective: of these heads and centers.
        compute: the precision, and the processes.
    """

    def __init__(self, state: TrainingState, objective: Objective, compute: Compute) -> None:
        super().__init__()
        self.net = state.net
        self.learned = state.learned
        self.centers = state.centers
        self.objective = objective
        self.compute = compute

    def forward(self, image: Tensor, labels: Tensor, progress: float) -> Losses:
        """This process's images [B / size, 1, P, P] and classes [B / size] -> losses.

        Args:
            image: see above.
            labels: see above.
            progress: fraction of the training that is done.
        """
        with self.compute.autocast():
            embedding = self.net.embed(image.to(memory_format=torch.channels_last))
        gather = self.compute.group.gather
        return self.objective(gather(embedding.float()), gather(labels), progress)

    @torch.no_grad()
    def average_statistics(self) -> None:
        """Average the running statistics that a step has changed over the processes."""
        norms = [m for m in self.net.modules() if isinstance(m, _BatchNorm) and m.training]
        found = [each for norm in norms for each in (norm.running_mean, norm.running_var)]
        self.compute.group.average([each for each in found if each is not None])
