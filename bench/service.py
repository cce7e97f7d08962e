"""``python -m bench.service``: what a service takes, beside the same work without one.

Clips of known speakers go to ``voxedge serve`` from a second process over loopback: first as fast
as answers come, then four times as many as that, for a minute. Every answer is compared with the
library's. In turn with it, the library identifies the same files, and the bare session runs the
windows of the decoded clips, which is all that a device would do that records its own samples.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Annotated, Any, NamedTuple

import numpy as np
import psutil
import typer

from bench import cli
from bench.machine import describe_machine
from voxedge.audio.load import load_audio
from voxedge.audio.windows import active_windows, batches
from voxedge.inference.identifier import Identifier

app = cli.new_app()

_ROUNDS = 3
_PATIENCE = 60.0  # seconds for an answer


class Answer(NamedTuple):
    """What became of a request."""

    clip: int
    status: int  # of HTTP; 0: the connection was lost
    record: dict[str, Any]
    seconds: float

    @property
    def speaker(self) -> str | None:
        """Who was named."""
        return self.record.get("speaker")


@app.command()
def main(
    model: Annotated[Path, typer.Option(help="A model file that names speakers.")] = Path(
        "bench/models/speechocean762-200.int8.onnx"
    ),
    data: Annotated[Path, typer.Option(help="A corpus of its speakers.")] = Path(
        "../shared/data/speechocean762/known"
    ),
    clips: Annotated[int, typer.Option(help="Different ones.")] = 400,
    seconds: Annotated[float, typer.Option(help="Of overload.")] = 60.0,
    clients: Annotated[int, typer.Option(help="Connections, each with one request.")] = 8,
) -> None:
    """Measure the service, and print one JSON object."""
    files = sorted(data.rglob("*.opus"))[:: max(1, len(list(data.rglob("*.opus"))) // clips)][
        :clips
    ]
    bodies = [file.read_bytes() for file in files]
    identifier = Identifier(model, device="cpu")
    expected = [each.to_dict().get("speaker") for each in identifier.identify_many(files)]
    windows = list(_windows(identifier, files))
    rates: dict[str, list[float]] = {"session": [], "library": [], "service": []}
    latencies: list[float] = []
    with running_service(model) as (port, process):
        ask(port, bodies[:20], clients)
        for _ in range(_ROUNDS):
            rates["session"].append(len(bodies) / _timed_session(identifier, windows))
            began = time.perf_counter()
            assert sum(1 for _ in identifier.identify_many(files)) == len(files)
            rates["library"].append(len(files) / (time.perf_counter() - began))
            began = time.perf_counter()
            answers = ask(port, bodies, clients)
            rates["service"].append(len(files) / (time.perf_counter() - began))
            assert [each.speaker for each in answers] == expected
            latencies += [each.seconds for each in answers]
        before = _memory(process)
        capacity = float(np.median(rates["service"]))
        overload = _overload(port, bodies, 4 * capacity, seconds)
        after = _memory(process)
        alone = [each.seconds for each in ask(port, bodies[:200], 1)]
    wrong = sum(
        1 for each in overload if each.status == 200 and each.speaker != expected[each.clip]
    )
    medians = {name: round(float(np.median(values)), 1) for name, values in rates.items()}
    print(
        json.dumps(
            {
                "model": model.name,
                "clips": len(files),
                "clips_per_second": medians,
                "of_library": round(medians["service"] / medians["library"], 3),
                "of_session": round(medians["service"] / medians["session"], 3),
                "milliseconds": {
                    f"{clients} clients": _percentiles(latencies),
                    "1 client": _percentiles(alone),
                },
                "overload": {
                    "seconds": seconds,
                    "requests_per_second": round(len(overload) / seconds, 1),
                    "statuses": dict(Counter(each.status for each in overload)),
                    "wrong": wrong,
                    "mib": [before, after],
                },
                "machine": describe_machine(),
            },
            indent=1,
        )
    )


def _windows(identifier: Identifier, files: list[Path]) -> Iterator[np.ndarray]:
    for file in files:
        samples = load_audio(file, identifier.sample_rate)
        segments = identifier.find_speech(samples)
        assert segments is not None
        yield from active_windows(
            samples, identifier.metadata.window, identifier.sample_rate, "all", segments.segments
        )


def _timed_session(identifier: Identifier, windows: list[np.ndarray]) -> float:
    pairs = [(None, window) for window in windows]
    began = time.perf_counter()
    for batch in batches(pairs, identifier.batch_size, identifier.metadata.window):
        identifier.run(batch.pcm, batch.lengths)
    return time.perf_counter() - began


@contextmanager
def running_service(model: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A service on a free port, once it is ready: the port, and its process."""
    command = [sys.executable, "-m", "voxedge", "serve", "--model", str(model), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    assert process.stderr
    port = int(process.stderr.readline().rsplit(":", 1)[1])
    try:
        while True:
            try:
                _get(port, "/readyz")
                break
            except OSError:
                time.sleep(0.1)
        yield port, process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(_PATIENCE) == 0


def _get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    connection.request("GET", path)
    return connection.getresponse().read()


def ask(port: int, bodies: list[bytes], clients: int) -> list[Answer]:
    """Ask for all clips, each client for the next one as soon as it has an answer."""
    waiting: SimpleQueue[int] = SimpleQueue()
    for number in range(len(bodies)):
        waiting.put(number)
    found: list[Answer] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        while True:
            try:
                number = waiting.get_nowait()
            except Empty:
                return
            found.append(_post(connection, number, bodies[number]))

    _in_threads(client, clients)
    return sorted(found, key=lambda answer: answer.clip)


def _overload(port: int, bodies: list[bytes], rate: float, seconds: float) -> list[Answer]:
    """Ask ``rate`` times a second whether answers come or not."""
    found: list[Answer] = []
    began, clients = time.perf_counter(), 96  # more than the queue of the service holds
    turn = iter(range(1 << 40))
    lock = threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        while True:
            with lock:
                number = next(turn)
            due = began + number / rate
            if due > began + seconds:
                return
            time.sleep(max(0.0, due - time.perf_counter()))
            found.append(_post(connection, number % len(bodies), bodies[number % len(bodies)]))

    _in_threads(client, clients)
    return found


def _in_threads(work: object, count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _post(connection: http.client.HTTPConnection, clip: int, body: bytes) -> Answer:
    began = time.perf_counter()
    try:
        connection.request("POST", "/identify", body)
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, http.client.HTTPException):
        connection.close()
        return Answer(clip, 0, {}, time.perf_counter() - began)
    return Answer(clip, response.status, answer, time.perf_counter() - began)


def _memory(process: subprocess.Popen[str]) -> float:
    """MiB of a service and its processes."""
    service = psutil.Process(process.pid)
    parts = [service, *service.children(recursive=True)]
    return round(sum(each.memory_info().rss for each in parts) / (1 << 20), 1)


def _percentiles(seconds: list[float]) -> dict[str, float]:
    return {
        f"p{share}": round(1000 * float(np.percentile(seconds, share)), 1) for share in (50, 95, 99)
    }


if __name__ == "__main__":
    app()
