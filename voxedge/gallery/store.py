"""Databases that hold the people of a gallery and search them, chosen by the scheme of a URL.

``qdrant`` is Qdrant, ``postgresql`` PostgreSQL with pgvector. Each has one adapter, which knows
nothing of galleries: names, unit vectors, and a text that says what they are.

Shapes: E embedding, P people.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from urllib.parse import urlsplit

from voxedge.errors import UsageError
from voxedge.gallery.people import Floats

SCHEMES = ("qdrant", "postgresql")


class Store(Protocol):
    """A collection of a database."""

    def replace(self, about: str, names: Sequence[str], rows: Floats) -> None:
        """Put these people in the place of those who are there, at once for all who search.

        Args:
            about: JSON.
            names: [P].
            rows: [P, E], of unit length.

        Raises:
            GalleryError: the database cannot be written.
        """

    def about(self) -> str:
        """The JSON.

        Raises:
            GalleryNotFound: there is no such collection.
            GalleryError: the database cannot be read.
        """

    def search(self, embedding: Floats, k: int) -> list[tuple[str, float]]:
        """Names and cosines of the nearest ``k`` of an embedding [E], the nearest first.

        Raises:
            GalleryError: the database cannot be read.
        """

    def close(self) -> None:
        """Let go of the database."""


def open_store(url: str) -> Store:
    """Connect to a collection: ``qdrant:///folder/people``, ``qdrant://host:6333/people``,
    ``postgresql://user@host/database#people``.

    Raises:
        UsageError: no such URL.
        MissingExtra: the database's client is not installed.
        GalleryError: the database cannot be reached.
    """
    scheme = urlsplit(url).scheme
    if scheme == "qdrant":
        from voxedge.gallery.qdrant_store import QdrantStore

        return QdrantStore(url)
    if scheme == "postgresql":
        from voxedge.gallery.pgvector_store import PgvectorStore

        return PgvectorStore(url)
    raise UsageError(
        f"no gallery can be at {scheme}://", f"{' or '.join(f'{each}://' for each in SCHEMES)}"
    )
