"""The finished network of a run on top of a model file: the file through ONNX Runtime, then a head.

Shapes: B batch, S samples, E embedding, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from voxedge.audio.windows import Batch
from voxedge.errors import RunError
from voxedge.model_file.metadata import Metadata
from voxedge.nn.embedding_head import CalibratedHead, EmbeddingHead
from voxedge.threads import available_processors
from voxedge.train.build import build_head
from voxedge.train.checkpoint import load_checkpoint, restore_module
from voxedge.train.pretrained.trunk import Trunk
from voxedge.train.recipe import Recipe
from voxedge.train.run import Run

#: Of the tensors of the head in a checkpoint.
PREFIX = "head"


class PretrainedNet(nn.Module):
    """Samples -> logits, probabilities and the trunk's own embedding, as ``ExportedNet``.

    Args:
        trunk: runs on its own device, and has no gradient.
        head: behind it.
    """

    def __init__(self, trunk: Trunk, head: CalibratedHead) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head

    @property
    def metadata(self) -> Metadata:
        """Of the trunk's file."""
        return self.trunk.metadata

    @property
    def window(self) -> int:
        """W: samples of one window."""
        return self.trunk.metadata.window

    @property
    def temperature(self) -> float:
        """What logits are divided by before the softmax."""
        return self.head.temperature

    def forward(self, pcm: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Samples [B, S], lengths [B] -> logits, probabilities [B, K], unit embedding [B, E]."""
        batch: Batch[None] = Batch(pcm.cpu().numpy(), lengths.cpu().numpy(), ())
        embedding = torch.from_numpy(self.trunk.embed(batch)).to(pcm.device)
        logits, probabilities = self.head(embedding)
        return logits, probabilities, embedding


def build_embedding_head(recipe: Recipe, classes: int, embedding_dim: int) -> EmbeddingHead:
    """Build the head of a recipe with random weights from its seed."""
    torch.manual_seed(recipe.training.seed)
    return EmbeddingHead(build_head(recipe.loss, classes, embedding_dim))


def load_pretrained(run: Run, device: torch.device) -> PretrainedNet:
    """Load the network of a finished run, its head on the CPU, in evaluation mode.

    Args:
        run: of such a recipe.
        device: for the trunk.

    Raises:
        RunError: the run has not ended, or something in it is missing, damaged or replaced.
        ModelError: the copy of the trunk's file is damaged.
    """
    temperature = run.metrics()["temperature"]
    trunk = Trunk(run, device, available_processors())
    checkpoint = load_checkpoint(run.model)
    if checkpoint.state.get("labels") != list(run.labels()):
        raise RunError(f"{run.model} is of other speakers than the run's labels.json")
    if checkpoint.state.get("trunk") != trunk.metadata.digest:
        raise RunError(f"{run.model} was trained on another file than {run.trunk}")
    head = build_embedding_head(run.recipe(), len(run.labels()), trunk.metadata.embedding_dim)
    restore_module(PREFIX, head, checkpoint)
    return PretrainedNet(trunk, CalibratedHead(head, temperature)).eval()
