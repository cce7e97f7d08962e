"""The routes of a service."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

import voxedge
from voxedge.audio.raw import EXAMPLE
from voxedge.errors import (
    AnotherVoice,
    AudioError,
    EnrolmentError,
    GalleryBusy,
    GalleryNotFound,
    NameTaken,
    TooClose,
    UnknownPerson,
    UsageError,
    VoxedgeError,
)
from voxedge.gallery.enrolment import EnrolmentRecord
from voxedge.gallery.verification import VerificationRecord
from voxedge.inference.open_set import ACCEPT
from voxedge.inference.prediction import PredictionRecord
from voxedge.service.engine import Engine
from voxedge.service.forms import read_clips
from voxedge.service.guard import Queue, Refused, check_sender
from voxedge.service.live import check_rate, listen_to
from voxedge.service.metrics import CONTENT_TYPE, ServiceMetrics
from voxedge.service.openapi import clip_body, model_of, refusals
from voxedge.timeline.clustering import SpeakerCount
from voxedge.timeline.record import TimelineRecord
from voxedge.timeline.timeline import Settings as TimelineSettings

_CLIP = "A file of any format that voxedge reads, or samples with ?raw="
_STATUS: tuple[tuple[type[VoxedgeError], int], ...] = (
    (UnknownPerson, 404),
    (GalleryNotFound, 404),
    (NameTaken, 409),
    (TooClose, 409),
    (AnotherVoice, 409),
    (GalleryBusy, 503),
    (AudioError, 422),
    (UsageError, 422),
    (VoxedgeError, 500),
)
_OPEN = ("/healthz", "/readyz")  # without a key: a load balancer asks

Raw = Annotated[
    str | None,
    Query(
        description="The clip is samples without a header: encoding, rate in Hz, channels.",
        examples=[EXAMPLE],
        max_length=40,
    ),
]
Accept = Annotated[
    float, Query(gt=0, lt=1, description="Share of strangers who may be let through.")
]
Name = Annotated[str, Query(min_length=1, max_length=200, examples=["Ann"])]


class _Measured(Response):
    media_type = CONTENT_TYPE


def create_app(engine: Engine, metrics: ServiceMetrics) -> FastAPI:
    """The ASGI application of a service; it closes the engine when it ends."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        engine.close()

    app = FastAPI(
        title="voxedge",
        version=voxedge.__version__,
        description="Who is speaking: clips in, names out, or nobody that is known.",
        lifespan=lifespan,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
    )
    queue = Queue(engine.settings.queue, metrics)
    _guard(app, engine, metrics)
    _refuse(app, metrics)
    _health(app, queue, metrics)
    _clips(app, engine, queue)
    _people(app, engine, queue)

    @app.websocket("/listen")
    async def hear(socket: WebSocket, rate: int = 16_000) -> None:
        """Name a stream of 16-bit little-endian mono samples, twice a second or more."""
        try:
            check_sender(socket.headers, engine.settings)
            name = engine.namer()
        except (Refused, VoxedgeError):
            await socket.close(1008)
            return
        if not check_rate(rate) or metrics.open_streams >= engine.settings.queue:
            await socket.close(1008 if not check_rate(rate) else 1013)
            return
        await socket.accept()
        with metrics.stream():
            await listen_to(socket, engine.model, name, rate)

    return app


def _guard(app: FastAPI, engine: Engine, metrics: ServiceMetrics) -> None:
    @app.middleware("http")
    async def guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        began = time.monotonic()
        try:
            if request.scope["path"] not in _OPEN:  # a URL is UTF-8, and what came may be none
                check_sender(request.headers, engine.settings)
            response = await answer(request)
        except Refused as refused:
            response = _refusal(refused, metrics)
        route = request.scope.get("route")
        name = getattr(route, "path", "other")  # not the path: it may hold anything
        metrics.requests.labels(name, response.status_code).inc()
        metrics.seconds.labels(name).observe(time.monotonic() - began)
        return response


def _refuse(app: FastAPI, metrics: ServiceMetrics) -> None:
    """Every refusal in one form."""

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return _refusal(error, metrics)

    @app.exception_handler(VoxedgeError)
    async def failed(_: Request, error: VoxedgeError) -> Response:
        status = next(status for kind, status in _STATUS if isinstance(error, kind))
        headers = {"Retry-After": "1"} if status == 503 else {}
        extra = {}
        if isinstance(error, EnrolmentError):
            extra["reports"] = [report.to_dict() for report in error.reports]
        return _refusal(Refused(status, error.code, str(error), headers), metrics, extra)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        words = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
        return _refusal(Refused(422, "usage", words), metrics)

    @app.exception_handler(HTTPException)
    async def unknown(_: Request, error: HTTPException) -> Response:
        code = {404: "no_such_route", 405: "method_not_allowed"}.get(error.status_code, "usage")
        headers = dict(error.headers or {})
        return _refusal(Refused(error.status_code, code, str(error.detail), headers), metrics)


def _refusal(
    refused: Refused, metrics: ServiceMetrics, extra: dict[str, Any] | None = None
) -> Response:
    metrics.errors.labels(refused.code).inc()
    problem = {"code": refused.code, "message": refused.message}
    return JSONResponse({"error": problem, **(extra or {})}, refused.status, refused.headers)


def _health(app: FastAPI, queue: Queue, metrics: ServiceMetrics) -> None:
    @app.get("/healthz", tags=["health"])
    async def alive() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], responses=refusals(503))
    async def ready() -> dict[str, str]:
        """Whether the next clip would be taken."""
        if queue.full:
            raise Refused(503, "busy", "all places are taken", {"Retry-After": "1"})
        return {"status": "ready"}

    @app.get("/metrics", tags=["health"], response_class=_Measured, responses=refusals(401, 403))
    async def measured() -> Response:
        """Counts and times, for Prometheus."""
        return _Measured(metrics.text())


def _clips(app: FastAPI, engine: Engine, queue: Queue) -> None:
    common = refusals(400, 401, 403, 404, 408, 413, 422, 500, 503)

    @app.post(
        "/identify",
        tags=["clips"],
        response_model=model_of(PredictionRecord),
        responses=common,
        openapi_extra=clip_body(clip=_CLIP),
    )
    async def identify(
        request: Request,
        raw: Raw = None,
        top_k: Annotated[int, Query(ge=1, le=100, description="Guesses to show.")] = 5,
        accept: Accept = ACCEPT,
        always_answer: Annotated[
            bool, Query(description="Name the nearest speaker, strangers included.")
        ] = False,
    ) -> Response:
        """Say who speaks in a clip, or that it is nobody who is known."""
        async with queue.place():
            (clip,) = (await read_clips(request, engine.settings)).one("clip")
            share = None if always_answer else accept
            found = await engine.identify(clip, raw, top_k, share)
        return JSONResponse(found.to_dict())

    @app.post(
        "/verify",
        tags=["clips"],
        response_model=model_of(VerificationRecord),
        responses=common,
        openapi_extra=clip_body(a=f"{_CLIP} Or leave it out, and give a name.", b=_CLIP),
    )
    async def verify(
        request: Request,
        name: Annotated[str | None, Query(description="A person of the gallery.")] = None,
        raw: Raw = None,
        accept: Accept = ACCEPT,
    ) -> Response:
        """Decide whether two clips, or a person and a clip, are of one voice."""
        async with queue.place():
            clips = await read_clips(request, engine.settings)
            first: str | bytes
            if name is None:
                first, second = clips.one("a", "b")
            else:
                first, (second,) = name, clips.one("b")
            found = await engine.verify(first, second, raw, accept)
        return JSONResponse(found.to_dict())

    @app.post(
        "/timeline",
        tags=["clips"],
        response_model=model_of(TimelineRecord),
        responses=common,
        openapi_extra=clip_body(clip=_CLIP),
    )
    async def timeline(
        request: Request,
        raw: Raw = None,
        min_speakers: Annotated[int, Query(ge=1, le=100)] = 1,
        max_speakers: Annotated[int | None, Query(ge=1, le=100)] = None,
    ) -> Response:
        """Say who spoke when in a recording."""
        async with queue.place():
            (recording,) = (await read_clips(request, engine.settings)).one("clip")
            settings = TimelineSettings(SpeakerCount(min_speakers, max_speakers))
            found = await engine.timeline(recording, raw, settings)
        return JSONResponse(found.to_dict())


def _people(app: FastAPI, engine: Engine, queue: Queue) -> None:
    common = refusals(400, 401, 403, 404, 408, 409, 413, 422, 500, 503)

    @app.post(
        "/enroll",
        tags=["people"],
        response_model=model_of(EnrolmentRecord),
        responses=common,
        openapi_extra=clip_body(clips=f"{_CLIP} Three or more."),
    )
    async def enroll(request: Request, name: Name, raw: Raw = None) -> Response:
        """Enrol a person, or add clips to one."""
        async with queue.place():
            clips = await read_clips(request, engine.settings)
            found = await engine.enroll(name, clips.all("clips"), raw)
        return JSONResponse(found.to_dict())

    @app.get("/people", tags=["people"], responses=refusals(401, 403, 404, 422, 500))
    async def people() -> list[str]:
        """The names of those who are enrolled."""
        return list(engine.people().names)

    @app.delete("/people/{name:path}", tags=["people"], status_code=204, responses=common)
    async def remove(name: Annotated[str, Path(min_length=1, max_length=200)]) -> Response:
        """Remove a person; the gallery is written anew without name, embeddings and samples."""
        async with queue.place():
            await engine.remove(name)
        return Response(status_code=204)
