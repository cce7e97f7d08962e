"""How ``voxedge timeline`` and ``voxedge listen`` name speakers, by their flags."""

from __future__ import annotations

from pathlib import Path

from voxedge.cli import console, options
from voxedge.cli.limit import Limit
from voxedge.errors import UsageError
from voxedge.gallery.gallery import Gallery
from voxedge.gallery.naming import Naming
from voxedge.gallery.urls import is_url
from voxedge.inference.identifier import Identifier
from voxedge.timeline.naming import Namer, by_gallery, by_model, nobody


def choose_namer(
    identifier: Identifier,
    gallery: str | None,
    limit: Limit,
    names: bool = True,
    trust: Path | None = None,
) -> Namer:
    """By a gallery, else by the model file's own speakers, else nobody.

    Args:
        identifier: the model file.
        gallery: its file or URL.
        limit: how near somebody has to be.
        names: whether the model file's own speakers are named.
        trust: see ``open_gallery``.

    Raises:
        UsageError: flags that do not go together.
        EmptyGallery: nobody is enrolled.
        ForeignModel: the gallery was made with another model file.
    """
    if gallery is not None:
        if not names:
            raise UsageError("--no-names goes without --gallery")
        opened = open_gallery(gallery, identifier, limit, trust)
        return by_gallery(opened, limit.accept, limit.cosine)
    options.require_gallery(trust)
    if names and identifier.labels:
        return by_model(identifier, limit.share(identifier))
    if limit.given:
        raise UsageError(
            "--accept, --always-answer and --threshold are of names, and there are none",
            "--gallery people.vxg, or a model file that knows its speakers",
        )
    return nobody


def open_gallery(
    where: str, identifier: Identifier, limit: Limit, trust: Path | None = None
) -> Naming:
    """A gallery; with a warning if it can name nobody, since no threshold is known.

    Args:
        where: its file, or the URL of a published one.
        identifier: the model file.
        limit: how near somebody has to be.
        trust: the file of a public key, by which the gallery has to be signed.

    Raises:
        UsageError: no such URL, or a key for one.
        GalleryError: the gallery cannot be read.
    """
    gallery: Naming
    if is_url(where):
        from voxedge.gallery.published import PublishedGallery

        if trust is not None:
            raise UsageError("--trust is for gallery files: a database has no signature")
        gallery = PublishedGallery(where, identifier)
    else:
        gallery = Gallery(where, identifier, say=console.say, trust=trust)
    if gallery.threshold(limit.accept, limit.cosine) is None:
        console.warn(
            f"no threshold is known for {identifier.model_file.path.name}, so nobody is named:"
            " --threshold COSINE, or voxedge gallery calibrate DATA"
        )
    return gallery
