"""Run a network over labelled clips: its logits, or statistics of its features.

Shapes: B windows of a batch, W samples of a window, N windows in all, C clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from operator import add
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from voxedge.audio.windows import Policy
from voxedge.data.corpus import Corpus, Entry
from voxedge.data.dataset import evaluation_batches
from voxedge.inference.scoring import LabelledScores
from voxedge.nn.speaker_net import SpeakerNet
from voxedge.train.moments import Moments

#: Degrades samples [B, W] and their valid lengths int64 [B] before they reach the network.
Transform: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

_BATCH = 32
_HELD = 1_024  # windows whose evidence is summed at a time: products of few rows are slow


@torch.inference_mode()
def score(
    net: SpeakerNet,
    corpus: Corpus,
    entries: Sequence[Entry],
    device: torch.device,
    policy: Policy = "all",
    workers: int = 0,
    between: Callable[[], None] = lambda: None,
    transform: Transform | None = None,
) -> LabelledScores:
    """Compute the logits of the windows of clips.

    Args:
        net: is put in evaluation mode.
        corpus: has the samples; its labels are the network's classes.
        entries: the clips.
        device: of the network.
        policy: which windows of a clip.
        workers: threads that decode clips.
        between: called after every batch, and may raise.
        transform: applied to the samples.
    """
    rows: list[npt.NDArray[np.float32]] = []
    evidence: list[npt.NDArray[np.float32]] = []
    clip_index: list[int] = []
    hook = net.evidence.register_forward_hook(
        lambda _module, _inputs, output: evidence.append(output.float().cpu().numpy())
    )
    try:
        batches = _batches(net, corpus, entries, device, policy, workers, transform)
        for pcm, lengths, clips in batches:
            logits, _ = net(pcm, lengths)
            rows.append(logits.float().cpu().numpy())
            clip_index += clips
            between()
    finally:
        hook.remove()
    truth = _truth(corpus, entries)
    return LabelledScores(
        np.concatenate(rows), np.array(clip_index), truth, np.concatenate(evidence)
    )


@torch.inference_mode()
def gather(
    net: SpeakerNet,
    corpus: Corpus,
    entries: Sequence[Entry],
    device: torch.device,
    workers: int = 0,
    between: Callable[[], None] = lambda: None,
    transform: Transform | None = None,
) -> Moments:
    """Compute the moments of the evidence of all windows of clips, in little memory.

    Arguments as for ``score``; there is at least one clip.
    """
    truth, classes = _truth(corpus, entries), len(corpus.labels)
    found: list[Moments] = []
    evidence: list[npt.NDArray[np.float32]] = []
    clip_index: list[int] = []
    for pcm, lengths, clips in _batches(net, corpus, entries, device, "all", workers, transform):
        evidence.append(net.perceive(net.frontend(pcm, lengths)).float().cpu().numpy())
        clip_index += clips
        if len(clip_index) >= _HELD:
            found = [reduce(add, [*found, _moments(evidence, truth[clip_index], classes)])]
            evidence, clip_index = [], []
        between()
    if clip_index:
        found.append(_moments(evidence, truth[clip_index], classes))
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
    transform: Transform | None,
) -> Iterator[tuple[Tensor, Tensor, list[int]]]:
    """Samples [B, W] and valid lengths [B] on the device, transformed, and the clip of each."""
    net.eval()
    window = net.frontend.window.samples
    for batch in evaluation_batches(corpus, entries, _BATCH, window, policy, workers):
        pcm = torch.from_numpy(batch.pcm).to(device)
        lengths = torch.from_numpy(batch.lengths).to(device)
        if transform is not None:
            pcm, lengths = transform(pcm, lengths)
        yield pcm, lengths, list(batch.keys)


def _truth(corpus: Corpus, entries: Sequence[Entry]) -> npt.NDArray[np.int64]:
    """The class of each clip, [C]."""
    classes = {label: index for index, label in enumerate(corpus.labels)}
    return np.array([classes[entry.clip.speaker] for entry in entries], np.int64)
