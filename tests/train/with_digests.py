"""``voxedge``, whose processes each leave a digest of their training's state: ``digest-RANK``."""

from __future__ import annotations

from pathlib import Path

from voxedge.__main__ import main
from voxedge.train import loop
from voxedge.train.checkpoint import module_tensors, optimizer_tensors, tensors_digest
from voxedge.train.state import TrainingState


class Remembered(TrainingState):
    """The state of this process."""

    latest: Remembered | None = None

    def __init__(self, *arguments):
        super().__init__(*arguments)
        Remembered.latest = self


def leave_digest(state: TrainingState) -> None:
    tensors = {}
    for prefix, module in state.modules.items():
        tensors |= module_tensors(prefix, module)
    for prefix, optimizer in state.optimizers.items():
        tensors |= optimizer_tensors(prefix, optimizer)
    position = f"{state.position.epoch} {state.position.step} {state.position.history}"
    rank = state.compute.group.rank
    Path(f"digest-{rank}").write_text(tensors_digest(tensors, position))


if __name__ == "__main__":
    loop.TrainingState = Remembered
    try:
        main()
    finally:
        if Remembered.latest is not None:
            leave_digest(Remembered.latest)
