"""Name the speakers of a recording: after a gallery, by a model file that knows names, or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from voxedge.gallery.gallery import Gallery
from voxedge.gallery.thresholds import DEFAULT_ACCEPT
from voxedge.inference.identifier import Identifier
from voxedge.inference.prediction import Prediction, Score

#: From the embedding of all windows of a speaker, and the mean [C] of their probabilities, to the
#: answer; ``Prediction.speaker`` stays None for somebody unknown.
Namer: TypeAlias = Callable[[Prediction, npt.NDArray[np.float64]], Prediction]

_TOP = 3  # guesses that are kept


def nobody(embedded: Prediction, _probabilities: npt.NDArray[np.float64]) -> Prediction:
    """Leave everybody unknown."""
    return embedded


def by_gallery(
    gallery: Gallery, accept: float = DEFAULT_ACCEPT, cosine: float | None = None
) -> Namer:
    """Name the people of a gallery; below its threshold nobody.

    Args:
        gallery: of the model file that embeds the recording.
        accept: the share of strangers who are let through; the threshold follows from it.
        cosine: a threshold in place of that.

    Raises:
        EmptyGallery: nobody is enrolled.
        ForeignModel: the gallery was made with another model file.
        UsageError: an impossible share or cosine.
    """
    recognise = gallery.recogniser(_TOP, accept, cosine)
    return lambda embedded, _probabilities: recognise(embedded)


def by_model(model: Identifier) -> Namer:
    """Name the speakers that a model file was trained on: the most probable one, as ``identify``.

    Raises:
        NoSpeakers: it gives embeddings only.
    """
    model.require_speakers()

    def name(embedded: Prediction, probabilities: npt.NDArray[np.float64]) -> Prediction:
        best = np.argsort(-probabilities, kind="stable")[:_TOP]
        scores = tuple(Score(model.labels[c], float(probabilities[c])) for c in best)
        return replace(embedded, speaker=scores[0].speaker, predictions=scores)

    return name
