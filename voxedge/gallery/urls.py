"""URLs of galleries in databases."""

from __future__ import annotations

from urllib.parse import urlsplit


def is_url(gallery: str) -> bool:
    """Whether a gallery is in a database, and no file."""
    return "://" in gallery


def shown(url: str) -> str:
    """A URL without user and password, for people."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="").geturl() if host else url.partition("?")[0]
