"""How good a network is: its logits on labelled clips, and the figures that follow.

Shapes: N windows, C clips, K classes, F figures of the evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from voxedge.data.corpus import Corpus, Entry
from voxedge.data.dataset import evaluation_batches
from voxedge.metrics import bootstrap, calibration_error, softmax, top_k_hits
from voxedge.nn.speaker_net import SpeakerNet
from voxedge.train.moments import Moments
from voxedge.windows import Policy

#: What becomes of samples [B, W] and their valid lengths [B] on their way to the network.
Heard: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

_BATCH = 32
_HELD = 1_024  # windows whose evidence is held until it is added up: products of few are slow


@dataclass(frozen=True)
class Scores:
    """What a network says of labelled clips."""

    logits: npt.NDArray[np.float32]  # [N, K]
    owners: npt.NDArray[np.intp]  # [N], the clip of each window
    truth: npt.NDArray[np.int64]  # [C], the class of each clip
    evidence: npt.NDArray[np.float32] | None = None  # [N, F], see ``SpeakerNet.evidence``

    @property
    def window_truth(self) -> npt.NDArray[np.int64]:
        """[N], the class of each window."""
        return self.truth[self.owners]

    def cross_entropy(self) -> float:
        """Mean over the windows."""
        own = softmax(self.logits)[np.arange(len(self.owners)), self.window_truth]
        return float(-np.log(np.maximum(own, 1e-300)).mean())

    def probabilities(self, temperature: float) -> npt.NDArray[np.float64]:
        """[C, K]: calibrated, averaged over the windows of each clip, as the runtime does."""
        total = np.zeros((len(self.truth), self.logits.shape[1]))
        np.add.at(total, self.owners, softmax(self.logits / temperature))
        return total / np.bincount(self.owners, minlength=len(total))[:, None]

    def measured(self, temperature: float) -> dict[str, Any]:
        """Top-1 and top-5 with 95 % intervals (bootstrap over speakers), calibration error."""
        probabilities = self.probabilities(temperature)
        top1 = top_k_hits(probabilities, self.truth, 1)
        top5 = top_k_hits(probabilities, self.truth, 5)
        return {
            "clips": len(self.truth),
            "windows": len(self.owners),
            "speakers": len(np.unique(self.truth)),
            "top1": bootstrap(top1, self.truth)._asdict(),
            "top5": bootstrap(top5, self.truth)._asdict(),
            "calibration_error": calibration_error(probabilities.max(axis=1), top1),
        }


def together(parts: Sequence[Scores]) -> Scores:
    """What is said of the clips of all parts, a clip that is in several of them each time."""
    starts = np.cumsum([0, *(len(part.truth) for part in parts)])[:-1]
    owners = [part.owners + start for part, start in zip(parts, starts, strict=True)]
    evidence = [part.evidence for part in parts if part.evidence is not None]
    return Scores(
        np.concatenate([part.logits for part in parts]),
        np.concatenate(owners),
        np.concatenate([part.truth for part in parts]),
        np.concatenate(evidence) if evidence else None,
    )


@torch.inference_mode()
def score(
    net: SpeakerNet,
    corpus: Corpus,
    entries: Sequence[Entry],
    device: torch.device,
    policy: Policy = "all",
    workers: int = 0,
    between: Callable[[], None] = lambda: None,
    heard: Heard | None = None,
) -> Scores:
    """Run a network over the windows of clips whose speakers are classes of the corpus.

    Args:
        net: see there; a window of a clip is as long as its front end's.
        corpus: where the samples are.
        entries: the clips.
        device: where the network is.
        policy: which windows of a clip.
        workers: threads that decode.
        between: called after every batch, and may raise.
        heard: how samples are spoilt, if at all.
    """
    rows: list[npt.NDArray[np.float32]] = []
    evidence: list[npt.NDArray[np.float32]] = []
    owners: list[int] = []
    watch = net.evidence.register_forward_hook(
        lambda _module, _inputs, output: evidence.append(output.float().cpu().numpy())
    )
    try:
        for pcm, lengths, own in _batches(net, corpus, entries, device, policy, workers, heard):
            logits, _ = net(pcm, lengths)
            rows.append(logits.float().cpu().numpy())
            owners += own
            between()
    finally:
        watch.remove()
    truth = _truth(corpus, entries)
    return Scores(np.concatenate(rows), np.array(owners), truth, np.concatenate(evidence))


@torch.inference_mode()
def gather(
    net: SpeakerNet,
    corpus: Corpus,
    entries: Sequence[Entry],
    device: torch.device,
    workers: int = 0,
    between: Callable[[], None] = lambda: None,
    heard: Heard | None = None,
) -> Moments:
    """The moments of the evidence of all windows of clips, of which few are held at a time.

    Arguments as for ``score``; there has to be a clip.
    """
    truth, classes = _truth(corpus, entries), len(corpus.labels)
    found: list[Moments] = []
    evidence: list[npt.NDArray[np.float32]] = []
    owners: list[int] = []
    for pcm, lengths, own in _batches(net, corpus, entries, device, "all", workers, heard):
        evidence.append(net.perceive(net.frontend(pcm, lengths)).float().cpu().numpy())
        owners += own
        if len(owners) >= _HELD:
            found = [reduce(add, [*found, _moments(evidence, truth[owners], classes)])]
            evidence, owners = [], []
        between()
    if owners:
        found.append(_moments(evidence, truth[owners], classes))
    return reduce(add, found)


def _moments(
    evidence: list[npt.NDArray[np.float32]], labels: npt.NDArray[np.int64], classes: int
) -> Moments:
    return Moments.of(np.concatenate(evidence), labels, classes)


def _batches(
    net: SpeakerNet,
    corpus: Corpus,
    entries: Sequence[Entry],
    device: torch.device,
    policy: Policy,
    workers: int,
    heard: Heard | None,
) -> Iterator[tuple[Tensor, Tensor, list[int]]]:
    """Samples and valid lengths on their device, as they are heard, and whose they are."""
    net.eval()
    window = net.frontend.window.samples
    for batch in evaluation_batches(corpus, entries, _BATCH, window, policy, workers):
        pcm = torch.from_numpy(batch.pcm).to(device)
        lengths = torch.from_numpy(batch.lengths).to(device)
        if heard is not None:
            pcm, lengths = heard(pcm, lengths)
        yield pcm, lengths, list(batch.owners)


def _truth(corpus: Corpus, entries: Sequence[Entry]) -> npt.NDArray[np.int64]:
    """[C], the class of each clip."""
    classes = {label: index for index, label in enumerate(corpus.labels)}
    return np.array([classes[entry.clip.speaker] for entry in entries], np.int64)
