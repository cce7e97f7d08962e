"""Name clips after enrolled people: what a gallery's file and a published gallery share."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import numpy.typing as npt

from voxedge.audio.load import Source
from voxedge.audio.windows import Policy
from voxedge.errors import ForeignModel
from voxedge.gallery.people import GalleryModel
from voxedge.gallery.recognition import Recogniser
from voxedge.gallery.thresholds import DEFAULT_ACCEPT
from voxedge.inference.identifier import Identifier, default_embedding_model
from voxedge.inference.prediction import Failure, Prediction, Threshold


class Naming(ABC):
    """Enrolled people, and the model file that hears them.

    Args:
        model: the model file, or one that is open; by default ``$VOXEDGE_MODEL``, else
            ``model.onnx`` if there is one, else the base network. It is opened when a clip is to be
            embedded.
    """

    def __init__(self, model: Identifier | str | os.PathLike[str] | None) -> None:
        self._model = model

    @property
    def identifier(self) -> Identifier:
        """The model file, opened.

        Raises:
            ModelError: it is missing, or not safe to run.
        """
        if not isinstance(self._model, Identifier):
            self._model = Identifier(self._model or default_embedding_model())
        return self._model

    def identify(
        self,
        source: Source | npt.ArrayLike,
        *,
        sample_rate: int | None = None,
        top_k: int = 5,
        windows: Policy = "all",
        accept: float = DEFAULT_ACCEPT,
        cosine: float | None = None,
    ) -> Prediction:
        """Say which of the people speaks in a clip; ``matches`` has the nearest, best first.

        Args:
            source: as for ``Identifier.identify``.
            sample_rate: Hz, of samples; by default the model's.
            top_k: how many people to return.
            windows: as for ``Identifier.identify``.
            accept: the share of strangers who are let through; the threshold follows from it.
            cosine: a threshold in place of that.

        Raises:
            AudioError: one of its kinds, for a clip that cannot be used.
            EmptyGallery: nobody is enrolled.
            ForeignModel: the gallery was made with another model file.
        """
        recognise = self.recogniser(top_k, accept, cosine)
        return recognise(self.identifier.embed(source, sample_rate=sample_rate, windows=windows))

    def identify_many(
        self,
        sources: Iterable[Source],
        *,
        top_k: int = 5,
        windows: Policy = "all",
        workers: int | None = None,
        accept: float = DEFAULT_ACCEPT,
        cosine: float | None = None,
    ) -> Iterator[Prediction | Failure]:
        """Say who speaks in each of many clips, in order: see ``Identifier.identify_many``."""
        recognise = self.recogniser(top_k, accept, cosine)
        for embedded in self.identifier.embed_many(sources, windows=windows, workers=workers):
            yield embedded if isinstance(embedded, Failure) else recognise(embedded)

    def _own_model(self) -> GalleryModel:
        opened = self.identifier
        return GalleryModel.of(opened.metadata, opened.model_file.path.name)

    def _foreign(self, made: GalleryModel, gallery: str, hint: str) -> ForeignModel:
        """The error of a gallery that another model file made."""
        return ForeignModel(
            f"{gallery} was made with {made.file}, and {self._own_model().file} is another model:"
            " their embeddings do not compare",
            f"--model {made.file}; or {hint}",
        )

    @abstractmethod
    def recogniser(
        self, top_k: int = 5, accept: float = DEFAULT_ACCEPT, cosine: float | None = None
    ) -> Recogniser:
        """What names embedded clips: see ``identify``. Made once, for as long as the people stay.

        Raises:
            EmptyGallery: nobody is enrolled.
            ForeignModel: the gallery was made with another model file.
        """

    @abstractmethod
    def threshold(
        self, accept: float = DEFAULT_ACCEPT, cosine: float | None = None
    ) -> Threshold | None:
        """The threshold of ``identify``; None where nothing is known to base one on."""
