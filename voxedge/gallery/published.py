"""Galleries that are published in a database, which many machines search by its URL.

The gallery's file stays what is changed: ``publish`` puts its people's names and mean embeddings
into the database, with the model file's digest and what the thresholds rest on.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from voxedge.errors import GalleryError
from voxedge.gallery.calibration import Calibration
from voxedge.gallery.naming import Naming
from voxedge.gallery.people import Contents, Floats, GalleryModel
from voxedge.gallery.recognition import Nearest, Recogniser, recogniser, require_people
from voxedge.gallery.store import open_store
from voxedge.gallery.thresholds import DEFAULT_ACCEPT, log_odds, own_trials, threshold_of
from voxedge.gallery.urls import shown
from voxedge.gallery.verification import given
from voxedge.inference.identifier import Identifier
from voxedge.inference.prediction import Match, Threshold

SCHEMA = 1


@dataclass(frozen=True)
class _About:
    """What a database says of its people."""

    described: Contents  # model and calibration, without people
    people: int
    strange: npt.NDArray[np.float64]  # of the people's own trials


def publish(contents: Contents, url: str) -> None:
    """Put the people of a gallery into a database, in the place of those who are there.

    Raises:
        UsageError: no such URL.
        MissingExtra: the database's client is not installed.
        EmptyGallery: nobody is enrolled.
        GalleryError: the database cannot be written.
    """
    require_people(len(contents.people), "the gallery")
    about = {
        "schema": SCHEMA,
        "model": asdict(contents.model),
        "people": len(contents.people),
        "calibration": None if contents.calibration is None else asdict(contents.calibration),
        "strange": own_trials(contents).strange.tolist(),
    }
    store = open_store(url)
    try:
        store.replace(json.dumps(about), contents.names, contents.means)
    finally:
        store.close()


class PublishedGallery(Naming):
    """People of a database, who are named and not changed: see ``Gallery``.

    Args:
        url: see ``voxedge.gallery.store.open_store``.
        model: as for ``Gallery``.

    Raises:
        UsageError: no such URL.
        MissingExtra: the database's client is not installed.
        GalleryNotFound: nothing is published there.
        GalleryError: the database cannot be read.
    """

    def __init__(self, url: str, model: Identifier | str | os.PathLike[str] | None = None) -> None:
        super().__init__(model)
        self._shown = shown(url)
        self._store = open_store(url)
        self._about = _read(self._store.about(), self._shown)

    def recogniser(
        self, top_k: int = 5, accept: float = DEFAULT_ACCEPT, cosine: float | None = None
    ) -> Recogniser:
        """See ``Naming``."""
        about = self._about
        made = about.described.model
        if self._own_model().digest != made.digest:
            raise self._foreign(made, self._shown, "voxedge gallery export another one there")
        line, odds = self.threshold(accept, cosine), log_odds(about.described)
        return recogniser(self._nearest, about.people, line, odds, top_k)

    def threshold(
        self, accept: float = DEFAULT_ACCEPT, cosine: float | None = None
    ) -> Threshold | None:
        """See ``Naming``."""
        if cosine is not None:
            return given(cosine)
        about = self._about
        return threshold_of(about.described, accept, about.people, about.strange)

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()

    def _nearest(self, embedding: Floats, k: int) -> Nearest:
        matches = tuple(Match(*each) for each in self._store.search(embedding, k))
        if not matches:
            raise GalleryError(f"{self._shown} has no people any more")
        return Nearest(matches, None)


def _read(text: str, where: str) -> _About:
    """What a database says, none of which is trusted.

    Raises:
        GalleryError: it makes no sense, or is of a newer schema.
    """
    try:
        about: dict[str, Any] = json.loads(text)
        if about["schema"] > SCHEMA:
            raise ValueError(f"of schema {about['schema']}, and this voxedge reads up to {SCHEMA}")
        found = about["calibration"]
        calibration = None if found is None else Calibration.from_json(found)
        strange = np.array(about["strange"], np.float64)
        if not np.isfinite(strange).all() or strange.ndim != 1 or not int(about["people"]) > 0:
            raise ValueError("impossible numbers")
        described = Contents(GalleryModel(**about["model"]), (), calibration)
        return _About(described, int(about["people"]), strange)
    except (KeyError, TypeError, ValueError) as error:
        raise GalleryError(f"{where} is no gallery of voxedge: {error}") from None
