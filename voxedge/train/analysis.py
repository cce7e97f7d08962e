"""Where training from a network that knows voices begins: a head in closed form.

Shapes: N windows, E embedding, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from voxedge.nn.augment import WaveAugment
from voxedge.nn.embedding_head import EmbeddingHead, EmbeddingNeck
from voxedge.train.calibrate import Judge, degraded, known, segment
from voxedge.train.scorer import Transform

SHRINKAGE = 0.1  # at least, of the covariance within classes
_WAYS = ("rooms", "channel", "noise")  # each training clip is heard degraded in each of them
_SHORTENED = 0.5  # where in its window a segment is taken from: the middle


def shrinkage_of(windows: int, embedding_dim: int) -> float:
    """The fewer windows there are for each dimension, the less is known of the covariance."""
    return max(SHRINKAGE, embedding_dim / (embedding_dim + windows))


def begin_with_analysis(
    judge: Judge, augment: WaveAugment | None, random: Callable[[], torch.Generator]
) -> None:
    """Set a network's neck and head by a linear discriminant analysis of its training clips.

    It learns from the first window of each clip, a segment of it, and a copy degraded in each way
    that training degrades clips in.

    Args:
        judge: of a network whose neck changes nothing yet.
        augment: of training, if there is any.
        random: a new generator for every way.
    """
    net = judge.net
    assert isinstance(net.neck, EmbeddingNeck)  # the recipe sees to it
    window = net.frontend.window.samples
    transforms: list[Transform | None] = [None, segment(window, _SHORTENED)]
    transforms += [degraded(augment, way, window, random()) for way in known(augment, _WAYS)]
    found = [_embeddings(judge, transform) for transform in transforms]
    vectors, truth = (np.concatenate(each) for each in zip(*found, strict=True))
    head = EmbeddingHead(net.head, net.neck.linear)
    head.fit(vectors, truth, shrinkage_of(*vectors.shape))


def _embeddings(
    judge: Judge, transform: Transform | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Of the first windows of the training clips, [N, E], and their classes [N]."""
    scores = judge.scores("train", "first", transform)
    assert scores.evidence is not None
    return scores.evidence, scores.window_truth
