"""How ``voxedge timeline`` and ``voxedge listen`` name speakers, by their flags."""

from __future__ import annotations

from pathlib import Path

from voxedge.cli import console
from voxedge.cli.limit import Limit
from voxedge.errors import UsageError
from voxedge.gallery.gallery import Gallery
from voxedge.inference.identifier import Identifier
from voxedge.timeline.naming import Namer, by_gallery, by_model, nobody


def choose_namer(
    identifier: Identifier, path: Path | None, limit: Limit, names: bool = True
) -> Namer:
    """By a gallery, else by the model file's own speakers, else nobody.

    Args:
        identifier: the model file.
        path: of the gallery.
        limit: how near somebody has to be.
        names: whether the model file's own speakers are named.

    Raises:
        UsageError: flags that do not go together.
        EmptyGallery: nobody is enrolled.
        ForeignModel: the gallery was made with another model file.
    """
    if path is not None:
        if not names:
            raise UsageError("--no-names goes without --gallery")
        return by_gallery(open_gallery(path, identifier, limit), limit.accept, limit.cosine)
    if names and identifier.labels:
        return by_model(identifier, limit.share(identifier))
    if limit.given:
        raise UsageError(
            "--accept, --always-answer and --threshold are of names, and there are none",
            "--gallery people.vxg, or a model file that knows its speakers",
        )
    return nobody


def open_gallery(path: Path, identifier: Identifier, limit: Limit) -> Gallery:
    """A gallery; with a warning if it can name nobody, since no threshold is known.

    Raises:
        EmptyGallery: nobody is enrolled.
        ForeignModel: the gallery was made with another model file.
    """
    gallery = Gallery(path, identifier, say=console.say)
    if gallery.threshold(limit.accept, limit.cosine) is None:
        console.warn(
            f"no threshold is known for {identifier.model_file.path.name}, so nobody is named:"
            " --threshold COSINE, or voxedge gallery calibrate DATA"
        )
    return gallery
