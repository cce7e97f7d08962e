"""What a service counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class ServiceMetrics:
    """The metrics of one service."""

    def __init__(self) -> None:
        own = self._registry = CollectorRegistry()
        self.requests = Counter(
            "voxedge_requests", "Answered requests.", ["route", "status"], registry=own
        )
        self.seconds = Histogram(
            "voxedge_request_seconds",
            "From a request to its answer.",
            ["route"],
            registry=own,
            buckets=_SECONDS,
        )
        self.errors = Counter(
            "voxedge_errors", "Clips and requests refused.", ["code"], registry=own
        )
        self.pending = Gauge("voxedge_pending_requests", "Worked on or waited for.", registry=own)
        self.open_streams = 0
        self._streams = Gauge("voxedge_streams", "Open streams of /listen.", registry=own)
        self.batches = Histogram(
            "voxedge_batch_clips",
            "Clips that were computed together.",
            registry=own,
            buckets=_SIZES,
        )

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count a stream for as long as it is open."""
        self.open_streams += 1
        self._streams.set(self.open_streams)
        try:
            yield
        finally:
            self.open_streams -= 1
            self._streams.set(self.open_streams)

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self._registry)
