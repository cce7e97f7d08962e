"""The index of a large gallery: a graph of neighbours (HNSW) in a file beside the gallery's.

usearch, since its file is mapped into memory and not read: it opens at once, and processes share
its pages. What it holds follows from the gallery, so it is never repaired: its name carries the
digest of the people's embeddings and its own, it is written as a whole, and one that belongs to
other embeddings, or is damaged, is deleted and built anew.

HNSW: Malkov and Yashunin 2020. Shapes: Q clips, E embedding, P people, k people that are wanted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from voxedge.files import atomic_write
from voxedge.gallery.people import Floats
from voxedge.gallery.search import EXACT_UP_TO, ExactIndex, Found, Index, largest
from voxedge.install import needs_extra
from voxedge.threads import available_processors

# Measured on 1,000,000 people (docs/enroll.md, "Many people").
_CONNECTIVITY = 16  # neighbours of a row
_EXPANSION_ADD, _EXPANSION_SEARCH = 128, 512  # rows that are looked at
_CANDIDATES = 32  # least rows that are compared exactly
_DIGITS = 16  # of a digest, in the file's name


class NeighbourIndex:
    """Compares with those people whom a graph of neighbours proposes; cosines are exact.

    Args:
        graph: of the rows, as ``build`` makes it.
        rows: [P, E], of unit length.
        looked_at: rows that a search looks at; the more, the fewer are missed.
    """

    def __init__(
        self,
        graph: Any,  # noqa: ANN401 - usearch.index.Index
        rows: Floats,
        looked_at: int = _EXPANSION_SEARCH,
    ) -> None:
        self._graph, self._rows = graph, rows
        graph.expansion_search = looked_at

    def search(self, embeddings: Floats, k: int) -> Found:
        """See ``Index``: now and then one of the nearest is missed."""
        k = min(k, len(self._rows))
        nearest = [self._nearest(np.ascontiguousarray(row, np.float32), k) for row in embeddings]
        people = np.stack([row for row, _ in nearest])
        return Found(np.stack([cosines for _, cosines in nearest]), people)

    def _nearest(self, embedding: Floats, k: int) -> tuple[Any, Floats]:
        wanted = min(len(self._rows), max(k, _CANDIDATES))
        found = self._graph.search(embedding, wanted, threads=1).keys
        people = np.sort(np.asarray(found).astype(np.intp))  # of equals the first one comes first
        cosines = self._rows[people] @ embedding
        best = largest(cosines, k)
        return people[best], cosines[best]


def open_index(rows: Floats, gallery: Path, say: Callable[[str], None] = lambda _: None) -> Index:
    """The index of a gallery's people.

    Args:
        rows: [P, E], of unit length.
        gallery: its file; the index of a large one is kept beside it.
        say: gets a line before an index is built, which takes minutes.

    Raises:
        MissingExtra: there are more people than are compared one by one, and usearch is missing.
    """
    if len(rows) <= EXACT_UP_TO:
        return ExactIndex(rows)
    return open_neighbours(rows, gallery, say)


def open_neighbours(
    rows: Floats, gallery: Path, say: Callable[[str], None] = lambda _: None
) -> NeighbourIndex:
    """Open the index of a gallery's people, after building it where there is none.

    If the folder is read-only or the disk full, the index is kept in memory alone.

    Args:
        rows: [P, E], of unit length.
        gallery: its file.
        say: gets a line before an index is built.

    Raises:
        MissingExtra: usearch is not installed.
    """
    _usearch_index()  # said before anything is computed
    rows = np.ascontiguousarray(rows, np.float32)
    for path in keep_own(rows, gallery):
        graph = _opened(path, rows)
        if graph is not None:
            return NeighbourIndex(graph, rows)
        with suppress(OSError):
            path.unlink()
    say(f"building the index of {len(rows):,} people, which takes minutes")
    built = build(rows)
    with suppress(OSError):
        path = _write(built, gallery, _digest(rows))
        built = _opened(path, rows) or built  # mapped: its memory is the file's
    return NeighbourIndex(built, rows)


def build(rows: Floats, neighbours: int = _CONNECTIVITY) -> Any:  # noqa: ANN401 - usearch.index.Index
    """The graph of rows [P, E] of unit length, which it holds in eight bits a value.

    Args:
        rows: of the people.
        neighbours: of a row; the more, the fewer are missed, and the larger the graph.
    """
    graph = _usearch_index()(
        ndim=rows.shape[1],
        metric="ip",
        dtype="i8",
        connectivity=neighbours,
        expansion_add=_EXPANSION_ADD,
    )
    graph.add(np.arange(len(rows)), rows, threads=available_processors())
    return graph


def keep_own(rows: Floats, gallery: Path) -> list[Path]:
    """Delete the index files of a gallery that are not of its rows [P, E]; returns the others.

    What killed processes left of some goes too: it may hold people who were removed since.
    """
    digest = rf"([0-9a-f]{{{_DIGITS}}})"
    name = re.compile(rf"\.?{re.escape(gallery.name)}\.{digest}-{digest}\.index(\.\w{{8}})?")
    matched = [(path, name.fullmatch(path.name)) for path in sorted(gallery.parent.iterdir())]
    found = [(path, match[1], match[3]) for path, match in matched if match]
    own = _digest(np.ascontiguousarray(rows, np.float32)) if found else ""
    kept = [path for path, of, unfinished in found if of == own and not unfinished]
    for path, *_ in found:
        if path not in kept:
            with suppress(OSError):
                path.unlink()
    return kept


def _write(graph: Any, gallery: Path, own: str) -> Path:  # noqa: ANN401 - usearch.index.Index
    """Write the index; a process that is killed leaves no file of the name that counts.

    Raises:
        OSError: the disk is full, or the folder read-only.
    """
    data = graph.save()
    path = gallery.with_name(f"{gallery.name}.{own}-{_digest(data)}.index")
    with atomic_write(path, like=gallery) as file:
        file.write(data)
    return path


def _opened(path: Path, rows: Floats) -> Any | None:  # noqa: ANN401 - usearch.index.Index
    """The graph of a file, mapped into memory; None if the file is not whole or not of the rows."""
    try:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS]
        if not path.name.endswith(f"-{content}.index"):
            return None
        graph = _usearch_index().restore(str(path), view=True)
    except (OSError, RuntimeError, ValueError):
        return None
    fits = graph is not None and (len(graph), graph.ndim) == rows.shape
    return graph if fits else None


def _usearch_index() -> Any:  # noqa: ANN401 - the class, whose package has few types
    """``usearch.index.Index``.

    ONNX Runtime is loaded before it: after usearch 2.26 its import crashes.

    Raises:
        MissingExtra: usearch is not installed.
    """
    with suppress(ImportError):
        import voxedge.inference.runtime  # noqa: F401
    with needs_extra("search"):
        from usearch.index import Index
    return Index


def _digest(data: Any) -> str:  # noqa: ANN401 - whatever has a buffer
    return hashlib.sha256(data).hexdigest()[:_DIGITS]
