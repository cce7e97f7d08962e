"""The trained network of a run, also behind the interface of an exported model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from voxedge.audio.limits import Samples
from voxedge.audio.windows import Batch
from voxedge.inference.scoring import ClipScores, Key, Outputs, score_clips
from voxedge.nn.speaker_net import ExportedNet
from voxedge.train.build import load_net
from voxedge.train.device import choose_device
from voxedge.train.pretrained.network import PretrainedNet, load_pretrained
from voxedge.train.run import Run


def load_exported(run: Run, device: torch.device) -> ExportedNet | PretrainedNet:
    """Load the network of a finished run as its model file has it, in evaluation mode.

    Raises:
        RunError: the run has not ended, or is damaged.
    """
    if run.recipe().model.pretrained:
        return load_pretrained(run, device).to(device)
    return ExportedNet(load_net(run), run.metrics()["temperature"]).eval().to(device)


class TrainedModel:
    """The network of a finished run: scores clips with PyTorch as its exported file does.

    Args:
        run: the run folder.
        device: auto, cpu or cuda.
        batch_size: windows of a batch.

    Raises:
        RunError: the run has not ended, or is damaged.
        UsageError: a device that cannot be used.
    """

    def __init__(self, run: Run, device: str = "auto", batch_size: int = 32) -> None:
        self._device = choose_device(device)
        self._net = load_exported(run, self._device)
        self._batch_size = batch_size
        self.labels = run.labels()
        self.sample_rate = run.recipe().frontend.sample_rate

    def score(self, clips: Iterable[tuple[Key, Samples]]) -> Iterator[ClipScores[Key]]:
        """Score clips, (key, samples [S] at ``sample_rate`` Hz); in order, one at a time."""
        return score_clips(clips, self._run, self._net.window, self.sample_rate, self._batch_size)

    @torch.inference_mode()
    def _run(self, batch: Batch[Any]) -> Outputs:
        rows = (torch.from_numpy(array).to(self._device) for array in (batch.pcm, batch.lengths))
        outputs = self._net(*rows)
        return Outputs(*(output.float().cpu().numpy() for output in outputs))
