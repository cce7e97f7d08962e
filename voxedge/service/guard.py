"""Who may ask, and how much: the key, the origin of a page, the size of a body, the queue."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request

from voxedge.errors import VoxedgeError
from voxedge.service.metrics import ServiceMetrics
from voxedge.service.settings import Settings, is_loopback


class Refused(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        code: for programs.
        message: for people.
        headers: of the answer.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}


def check_sender(headers: Headers, settings: Settings) -> None:
    """Refuse who has no key; without a key, whatever a web page of another site asks.

    A page that the user visits can send requests to this machine, so ``Host`` must be this machine
    (a name that an attacker lets point here is refused), and ``Origin`` the same as ``Host``.

    Raises:
        Refused: 401 or 403.
    """
    if settings.api_key:
        given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), settings.api_key.encode()):
            raise Refused(
                401,
                "unauthorized",
                "the API key is missing or wrong: X-API-Key, or Authorization: Bearer",
                {"WWW-Authenticate": "Bearer"},
            )
        return
    host, origin = headers.get("host", ""), headers.get("origin")
    if not is_loopback(urlsplit(f"//{host}").hostname or ""):
        raise Refused(403, "forbidden", f"this service answers this machine alone, not {host!r}")
    if origin is not None and urlsplit(origin).netloc != host:
        raise Refused(403, "forbidden", f"a page of {origin!r} may not ask this service")


async def read_body(request: Request, settings: Settings) -> bytes:
    """The body of a request, up to the limits.

    Raises:
        Refused: 413, it is too large; 408, it came too slowly.
    """
    body = bytearray()
    too_large = Refused(413, "too_large", f"more than {settings.max_bytes} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > settings.max_bytes:
        raise too_large
    try:
        async with asyncio.timeout(settings.upload_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > settings.max_bytes:
                    raise too_large
    except TimeoutError:
        raise Refused(
            408, "too_slow", f"the request took longer than {settings.upload_seconds:g} s"
        ) from None
    return bytes(body)


class Queue:
    """The requests that are worked on or waited for, up to a number of them."""

    def __init__(self, most: int, metrics: ServiceMetrics) -> None:
        self.pending = 0
        self._most, self._metrics = most, metrics

    @property
    def full(self) -> bool:
        """Whether the next request is refused."""
        return self.pending >= self._most

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Take a place for as long as a request is worked on.

        Raises:
            Refused: 503, all are taken.
        """
        if self.full:
            raise Refused(
                503, "busy", f"{self.pending} requests are waiting already", {"Retry-After": "1"}
            )
        self.pending += 1
        self._metrics.pending.set(self.pending)
        try:
            yield
        finally:
            self.pending -= 1
            self._metrics.pending.set(self.pending)


def as_error(error: VoxedgeError, status: int) -> Refused:
    """A voxedge error as an answer."""
    return Refused(status, error.code, str(error))
