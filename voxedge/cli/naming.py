"""How ``voxedge timeline`` and ``voxedge listen`` name speakers, by their flags."""

from __future__ import annotations

from pathlib import Path

from voxedge.cli import console, options
from voxedge.errors import UsageError
from voxedge.gallery.gallery import Gallery
from voxedge.inference.identifier import Identifier
from voxedge.timeline.naming import Namer, by_gallery, by_model, nobody


def choose_namer(
    identifier: Identifier,
    path: Path | None,
    accept: float,
    cosine: float | None,
    names: bool = True,
) -> Namer:
    """By a gallery, else by the model file's own speakers, else nobody.

    Args:
        identifier: the model file.
        path: of the gallery.
        accept: the share of strangers that the gallery lets through.
        cosine: a threshold in place of that.
        names: whether the model file's own speakers are named.

    Raises:
        UsageError: flags that do not go together.
        EmptyGallery: nobody is enrolled.
        ForeignModel: the gallery was made with another model file.
    """
    if path is None:
        if cosine is not None or accept != options.DEFAULT_SHARE:
            raise UsageError("--accept and --threshold go with --gallery")
        return by_model(identifier) if names and identifier.labels else nobody
    if not names:
        raise UsageError("--no-names goes without --gallery")
    gallery = Gallery(path, identifier)
    name = by_gallery(gallery, accept, cosine)
    if gallery.threshold(accept, cosine) is None:
        console.warn(
            f"no threshold is known for {identifier.model_file.path.name}, so nobody is named:"
            " --threshold COSINE, or voxedge gallery calibrate DATA"
        )
    return name
