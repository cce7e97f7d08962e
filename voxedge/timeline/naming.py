"""Name the speakers of a recording: after a gallery, by a model file that knows names, or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from voxedge.gallery.naming import Naming
from voxedge.gallery.thresholds import DEFAULT_ACCEPT
from voxedge.inference.identifier import Identifier
from voxedge.inference.open_set import ACCEPT
from voxedge.inference.prediction import Prediction
from voxedge.inference.scoring import ClipScores


class Voice(NamedTuple):
    """A speaker without a name."""

    embedded: Prediction
    scores: ClipScores[Any]  # means over all windows
    seconds: float  # of each piece of sound that was scored; the mean


#: ``Prediction.speaker`` stays None for somebody unknown.
Namer: TypeAlias = Callable[[Voice], Prediction]

_TOP = 3  # guesses that are kept


def nobody(voice: Voice) -> Prediction:
    """Leave everybody unknown."""
    return voice.embedded


def by_gallery(
    gallery: Naming, accept: float = DEFAULT_ACCEPT, cosine: float | None = None
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
    return lambda voice: recognise(voice.embedded)


def by_model(model: Identifier, accept: float | None = ACCEPT) -> Namer:
    """Name the speakers that a model file was trained on, as ``identify`` does.

    Args:
        model: the file.
        accept: share of strangers who may be named, if the file has a threshold for it; None
            names somebody in any case.

    Raises:
        NoSpeakers: it gives embeddings only.
        UsageError: no share between 0 and 1.
    """
    model.require_speakers()
    if accept is not None:
        model.answers.least_known(accept)

    def name(voice: Voice) -> Prediction:
        return model.answers.named(voice.embedded, voice.scores, _TOP, accept, voice.seconds)

    return name
