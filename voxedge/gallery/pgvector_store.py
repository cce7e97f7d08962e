"""People in PostgreSQL with pgvector: a table of names and vectors, with a graph (HNSW) of these.

``docs/enroll.md`` shows the table in SQL. It is replaced as a whole, in one transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urldefrag

from voxedge.errors import GalleryError, GalleryNotFound, UsageError
from voxedge.gallery.people import Floats
from voxedge.gallery.urls import shown
from voxedge.install import needs_extra

_TABLE = re.compile(r"[a-z_][a-z0-9_]{0,39}")
_ABOUT = "voxedge gallery "  # that the comment of the table begins with
_LOOKED_AT = 200  # rows that a search in the graph looks at, at least


class PgvectorStore:
    """See ``Store``.

    Args:
        url: ``postgresql://user@host/database#table``, as libpq takes it but for the table.

    Raises:
        UsageError: the URL names no table.
        MissingExtra: psycopg is not installed.
        GalleryError: the database cannot be reached.
    """

    def __init__(self, url: str) -> None:
        with needs_extra("pgvector"):
            import psycopg
        address, self._table = urldefrag(url)
        self._shown = shown(url)
        if not _TABLE.fullmatch(self._table):
            raise UsageError(
                f"{self._shown} names no table in small letters",
                "postgresql://user@host/database#people",
            )
        self._looked_at = 0  # what the connection is set to
        self._error = psycopg.Error
        with self._asked():
            self._connection: Any = psycopg.connect(address, autocommit=True)

    def replace(self, about: str, names: Sequence[str], rows: Floats) -> None:
        """See ``Store``."""
        from psycopg import sql

        old, new = self._table, f"{self._table}_new"
        graph = f"{self._table}_graph"
        names_of = {
            "old": sql.Identifier(old),
            "new": sql.Identifier(new),
            "graph": sql.Identifier(graph),
            "graph_new": sql.Identifier(f"{graph}_new"),
            "width": sql.Literal(rows.shape[1]),
            "about": sql.Literal(_ABOUT + about),
        }

        def run(statement: str) -> None:
            connection.execute(sql.SQL(statement).format(**names_of))

        with self._asked(), self._connection.transaction():
            connection = self._connection
            if self._exists() and self._comment() is None:
                raise UsageError(f"{old} is a table of something else", "name another")
            run("CREATE EXTENSION IF NOT EXISTS vector")
            run("DROP TABLE IF EXISTS {new}")
            run("CREATE TABLE {new} (name text NOT NULL, embedding vector({width}) NOT NULL)")
            copy = sql.SQL("COPY {new} (name, embedding) FROM STDIN").format(**names_of)
            with connection.cursor() as cursor, cursor.copy(copy) as lines:
                for name, row in zip(names, rows, strict=True):
                    lines.write_row((name, _text(row)))
            run("CREATE INDEX {graph_new} ON {new} USING hnsw (embedding vector_ip_ops)")
            run("COMMENT ON TABLE {new} IS {about}")
            run("DROP TABLE IF EXISTS {old}")
            run("ALTER TABLE {new} RENAME TO {old}")
            run("ALTER INDEX {graph_new} RENAME TO {graph}")

    def about(self) -> str:
        """See ``Store``."""
        with self._asked():
            about = self._comment()
        if about is None:
            raise GalleryNotFound(
                f"there is no gallery {self._shown}", "voxedge gallery export URL"
            )
        return about

    def search(self, embedding: Floats, k: int) -> list[tuple[str, float]]:
        """See ``Store``: beyond some thousand people one of the nearest may be missed."""
        from psycopg import sql

        nearest = sql.SQL(
            "SELECT name, -(embedding <#> %(row)s::vector) FROM {}"
            " ORDER BY embedding <#> %(row)s::vector LIMIT %(k)s"
        ).format(sql.Identifier(self._table))
        look = max(k, _LOOKED_AT)
        with self._asked():
            if look != self._looked_at:
                statement = sql.SQL("SET hnsw.ef_search = {}").format(sql.Literal(look))
                self._connection.execute(statement)
                self._looked_at = look
            found = self._connection.execute(nearest, {"row": _text(embedding), "k": k}).fetchall()
        return [(str(name), float(cosine)) for name, cosine in found]

    def close(self) -> None:
        """See ``Store``."""
        self._connection.close()

    def _exists(self) -> bool:
        found = self._connection.execute("SELECT to_regclass(%s)", (self._table,)).fetchone()
        return found[0] is not None

    def _comment(self) -> str | None:
        """What the table's comment says of its people; None: there is no such table."""
        asked = "SELECT obj_description(to_regclass(%s), 'pg_class')"
        comment = self._connection.execute(asked, (self._table,)).fetchone()[0]
        if comment is None or not comment.startswith(_ABOUT):
            return None
        return str(comment.removeprefix(_ABOUT))

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Errors of the database as errors of a gallery.

        Raises:
            GalleryError: the database says no.
        """
        try:
            yield
        except self._error as error:
            words = str(error).strip().splitlines() or [type(error).__name__]
            raise GalleryError(f"{self._shown}: {words[0]}") from error


def _text(row: Floats) -> str:
    """A vector as pgvector reads it."""
    return f"[{','.join(map(str, row.tolist()))}]"
