"""Clips behind URLs, by fsspec: ``s3://``, ``gs://``, ``https://`` and what else it reads."""

from __future__ import annotations

from dataclasses import dataclass

from voxedge.audio.folders import is_skipped
from voxedge.audio.formats import readability
from voxedge.errors import UnreadableAudio
from voxedge.install import needs_extra


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """An audio file behind a URL."""

    url: str

    def read_bytes(self) -> bytes:
        """Fetch the file.

        Raises:
            UnreadableAudio: it cannot be had.
        """
        import fsspec

        try:
            with fsspec.open(self.url, "rb") as file:
                return bytes(file.read())
        except OSError as error:
            raise UnreadableAudio(f"{self.url} cannot be read: {error}") from None


def is_url(source: str) -> bool:
    """Whether this is a URL, not a path."""
    return "://" in source


def clips_at(url: str) -> dict[str, str]:
    """The clips below a URL: paths relative to it -> URLs, sorted.

    They are chosen by their names, as those of a folder are.

    Raises:
        MissingExtra: fsspec is not installed.
    """
    with needs_extra("scale"):
        import fsspec

    system, root = fsspec.core.url_to_fs(url)
    above = root.rstrip("/") + "/"
    return {
        name.removeprefix(above): system.unstrip_protocol(name)
        for name in sorted(system.find(root))
        if readability(name) == "readable" and not is_skipped(name.rsplit("/", 1)[-1])
    }
