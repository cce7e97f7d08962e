"""The file of the means of a large gallery's people, beside the gallery: processes share its pages.

It follows from the gallery, so it is never repaired or trusted: its name carries the gallery's
checksum, it is compared with the clips when it is opened, and one that differs is written anew.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import numpy as np

from voxedge.files import atomic_write
from voxedge.gallery.people import BLOCK, Bounds, Floats, means_of

_DIGITS = 16  # of a checksum, in the file's name


def open_means(gallery: Path, checksum: str, embeddings: Floats, bounds: Bounds) -> Floats:
    """The people's embeddings [P, E], mapped; in memory alone where the folder is read-only.

    Args:
        gallery: its file.
        checksum: of it, in its first line.
        embeddings: of its clips, [C, E].
        bounds: [P + 1], of each person's clips.
    """
    path = gallery.with_name(f"{gallery.name}.{checksum[:_DIGITS]}.means")
    mapped = _mapped(path, embeddings, bounds)
    if mapped is not None:
        return mapped
    means = means_of(embeddings, bounds)
    with suppress(OSError):
        with atomic_write(path, like=gallery) as file:
            file.write(means.astype("<f4", copy=False).data)
        mapped = _mapped(path, embeddings, bounds)
    return means if mapped is None else mapped


def delete_means(gallery: Path) -> None:
    """Delete the means of a gallery's earlier people, and what killed processes left of them."""
    name = re.compile(rf"\.?{re.escape(gallery.name)}\.[0-9a-f]{{{_DIGITS}}}\.means(\.\w{{8}})?")
    for path in gallery.parent.iterdir():
        if name.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()


def _mapped(path: Path, embeddings: Floats, bounds: Bounds) -> Floats | None:
    """The means of a file; None if they are not those of the clips."""
    shape = (len(bounds) - 1, embeddings.shape[1])
    try:
        if path.stat().st_size != 4 * shape[0] * shape[1]:
            return None
        means: Floats = np.memmap(path, "<f4", "r", shape=shape).view(np.ndarray)
    except (OSError, ValueError):
        return None
    for start in range(0, shape[0], BLOCK):
        part = bounds[start : start + BLOCK + 1]
        expected = means_of(embeddings[part[0] : part[-1]], part - part[0])
        if not np.array_equal(means[start : start + BLOCK], expected):
            return None
    return means
