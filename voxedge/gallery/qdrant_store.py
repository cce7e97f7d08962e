"""People in Qdrant: a server, or a folder.

A folder (Qdrant's local mode) is for trying things out and for tests: it compares with everybody in
NumPy, and one process may open it. The collection's name is an alias of the collection that holds
the people, which is replaced as a whole.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from voxedge.errors import GalleryError, GalleryNotFound, UsageError
from voxedge.gallery.people import Floats
from voxedge.gallery.urls import shown
from voxedge.install import needs_extra

_ABOUT = "voxedge"  # of the collection's metadata
_BATCH = 256  # people


class QdrantStore:
    """See ``Store``.

    Args:
        url: ``qdrant:///folder/collection``, or ``qdrant://host:6333/collection``.

    Raises:
        UsageError: the URL names no collection.
        MissingExtra: qdrant-client is not installed.
    """

    def __init__(self, url: str) -> None:
        with needs_extra("qdrant"):
            from qdrant_client import QdrantClient
        self._open = QdrantClient
        parts = urlsplit(url)
        self._host = parts.netloc
        self._folder, _, self._name = parts.path.rpartition("/")
        if not self._name or not (self._host or self._folder):
            raise UsageError(f"{shown(url)} names no collection", "qdrant:///folder/people")
        self._shown = shown(url)

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401 - qdrant_client.QdrantClient
        if self._host:
            return self._open(url=f"http://{self._host}{self._folder}")
        return self._open(path=self._folder)

    def replace(self, about: str, names: Sequence[str], rows: Floats) -> None:
        """See ``Store``."""
        from qdrant_client import models

        new = f"{self._name}-{uuid.uuid4().hex}"
        size, dot = rows.shape[1], models.Distance.DOT
        with self._asked():
            old = self._collection()
            self._client.create_collection(
                new,
                vectors_config=models.VectorParams(size=size, distance=dot),
                metadata={_ABOUT: about},
            )
            for start in range(0, len(names), _BATCH):
                part = range(start, min(start + _BATCH, len(names)))
                points = [
                    models.PointStruct(id=n, vector=rows[n].tolist(), payload={"name": names[n]})
                    for n in part
                ]
                self._client.upsert(new, points)
            delete = models.DeleteAlias(alias_name=self._name)
            create = models.CreateAlias(collection_name=new, alias_name=self._name)
            operations: list[Any] = [models.CreateAliasOperation(create_alias=create)]
            if old is not None:
                operations.insert(0, models.DeleteAliasOperation(delete_alias=delete))
            self._client.update_collection_aliases(operations)
            if old is not None:
                self._client.delete_collection(old)

    def about(self) -> str:
        """See ``Store``."""
        found = None
        if self._host or Path(self._folder).is_dir():  # which opening would make
            with self._asked():
                collection = self._collection()
                found = None if collection is None else self._client.get_collection(collection)
        if found is None:
            raise GalleryNotFound(
                f"there is no gallery {self._shown}", f"voxedge gallery export {self._shown}"
            )
        return str((found.config.metadata or {}).get(_ABOUT, ""))

    def search(self, embedding: Floats, k: int) -> list[tuple[str, float]]:
        """See ``Store``."""
        with self._asked():
            found = self._client.query_points(self._name, query=embedding.tolist(), limit=k)
        return [(str(each.payload["name"]), float(each.score)) for each in found.points]

    def close(self) -> None:
        """See ``Store``."""
        if "_client" in self.__dict__:
            self._client.close()

    def _collection(self) -> str | None:
        """The collection behind the alias; None: there is no such alias."""
        aliases = self._client.get_aliases().aliases
        found = (each.collection_name for each in aliases if each.alias_name == self._name)
        return next(found, None)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Errors of the database as errors of a gallery.

        Raises:
            GalleryError: whatever the client raises: it has no base class for its errors.
        """
        try:
            yield
        except Exception as error:
            words = str(error).strip().splitlines() or [type(error).__name__]
            raise GalleryError(f"{self._shown}: {words[0]}") from error
