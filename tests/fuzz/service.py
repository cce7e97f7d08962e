"""A service in this process, without sockets: the application is called as a server calls it."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from typing import Any

from fastapi import FastAPI

from tests.fuzz import seeds, targets
from voxedge.service.app import create_app
from voxedge.service.engine import Engine
from voxedge.service.metrics import ServiceMetrics
from voxedge.service.settings import Settings

_SETTINGS = Settings(decoders=1, max_bytes=1 << 16, max_seconds=60.0, wait=0.0)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@cache
def _app() -> FastAPI:
    """A service with a gallery of its own."""
    _, whole, _ = targets.galleries()
    people = targets.folder() / "people.vxg"
    people.write_bytes(seeds.with_checksum(whole))
    metrics = ServiceMetrics()
    engine = Engine(targets.small_model(), people, _SETTINGS, metrics)
    return create_app(engine, metrics)


def ask(data: bytes) -> tuple[int, bytes]:
    """Send a request; its status and body, which are checked.

    Args:
        data: a line with method, path and query; a line with the type; then the body.
    """
    first, _, rest = data.partition(b"\n")
    kind, _, body = rest.partition(b"\n")
    method, _, target = first.partition(b" ")
    path, _, query = target.partition(b"?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method.decode("latin-1").upper(),
        "scheme": "http",
        "path": path.decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", kind)],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    status, answer = _loop().run_until_complete(_called(scope, body))
    assert status < 500, answer
    if status != 204 and not path.startswith(b"/metrics") and method != b"HEAD":
        value = json.loads(answer)
        targets.check_finite(value)
        if status >= 400:
            code = value["error"]["code"]
            assert code not in ("internal", "decoding_stopped", "model_refused"), value
    return status, answer


async def _called(scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
    """Call the application as an ASGI server does."""
    sent = False
    status, parts = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)
        parts.append(message.get("body", b""))

    await _app()(scope, receive, send)
    return status, b"".join(parts)
