"""Serve a site on this machine: a secure context for the microphone, and headers for threads."""

from __future__ import annotations

import errno
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from voxedge.errors import UsageError

HOST = "127.0.0.1"

_HEADERS = {
    # With both of them a page may share memory between threads (HTML, "cross-origin isolated").
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}


class SiteServer(ThreadingHTTPServer):
    """Serves a folder on the loopback interface alone.

    Args:
        folder: the site.
        port: 0 takes a free one.

    Raises:
        UsageError: the port is taken, or not allowed.
    """

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0) -> None:
        try:
            super().__init__((HOST, port), partial(_Handler, directory=str(folder)))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            reason = "is taken" if taken else f"cannot be used: {error.strerror}"
            raise UsageError(f"port {port} {reason}", "--port 0 takes a free one") from None

    def handle_error(self, _request: object, _client: object) -> None:
        """Say nothing: a browser that is closed breaks its connections."""

    @property
    def url(self) -> str:
        """Where the site is."""
        return f"http://localhost:{self.server_port}/"


class _Handler(SimpleHTTPRequestHandler):
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **_TYPES}  # noqa: RUF012

    def parse_request(self) -> bool:
        """Answer for this machine's own names alone: another site's could be led here."""
        if not super().parse_request():
            return False
        host = self.headers.get("Host", "").rpartition(":")[0]
        if host in ("localhost", HOST):
            return True
        self.send_error(403, "this server answers for localhost alone")
        return False

    def list_directory(self, path: str) -> None:  # type: ignore[override]  # noqa: ARG002
        """Show no folders."""
        self.send_error(404)

    def end_headers(self) -> None:
        """Add the headers of all answers."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002
        """Say nothing."""
