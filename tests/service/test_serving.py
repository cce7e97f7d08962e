"""A service as a process: streams, the queue, and an orderly end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from tests.conftest import RATE, voice, voxedge
from tests.service.test_app import client_of

HOST = {"Host": "127.0.0.1"}
VOXEDGE = (sys.executable, "-m", "voxedge")


@pytest.fixture
def service(model_path, tmp_path):
    """Start a service; its URL and its process."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> tuple[str, subprocess.Popen[str]]:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "voxedge",
                "serve",
                "--model",
                model_path,
                "--port",
                "0",
                *options,
            ],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"NO_COLOR": "1"},
        )
        started.append(process)
        line = process.stderr.readline()
        assert "listening on" in line, line + process.stderr.read()
        url = line.split()[-1]
        for _ in range(100):
            try:
                httpx.get(f"{url}/readyz")
                return url, process
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError("the service does not answer")

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_what_was_taken_is_answered_after_sigterm_and_nothing_else_is_taken(service, workshop):
    url, process = service("--decoders", "1")
    clip = next((workshop / "data").rglob("*.wav")).read_bytes()
    arrived = threading.Event()

    def slowly():
        yield clip[:1000]
        arrived.set()
        time.sleep(1.0)
        yield clip[1000:]

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.post, f"{url}/identify", content=slowly(), timeout=60)
        assert arrived.wait(30)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/readyz")
        assert answer.result().status_code == 200
    assert process.wait(60) == 0
    assert "every request that was taken is answered" in process.stderr.read()


def test_more_than_the_queue_holds_is_refused_and_no_answer_is_wrong(service, workshop):
    url, _ = service("--decoders", "1", "--queue", "2")
    clips = sorted((workshop / "data").rglob("*.wav"))[::5]
    expected = {}
    for clip in clips:
        answer = httpx.post(f"{url}/identify", content=clip.read_bytes(), timeout=60)
        expected[clip] = answer.json()["speaker"]

    def ask(clip) -> int:
        answer = httpx.post(f"{url}/identify", content=clip.read_bytes(), timeout=60)
        if answer.status_code == 200:
            assert answer.json()["speaker"] == expected[clip]
        else:
            assert answer.json()["error"]["code"] == "busy"
            assert answer.headers["retry-after"] == "1"
        return answer.status_code

    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(ask, clips * 6))
    assert set(statuses) == {200, 503}
    assert httpx.get(f"{url}/readyz").status_code == 200


def test_a_service_that_others_reach_needs_a_key(tmp_path, model_path):
    done = voxedge("serve", "--model", model_path, "--host", "0.0.0.0", cwd=tmp_path)
    assert done.returncode == 2
    assert "VOXEDGE_API_KEY" in done.stderr


def test_an_address_that_is_taken_is_said_to_be(service, tmp_path, model_path):
    url, _ = service()
    port = url.rsplit(":", 1)[1]
    done = voxedge("serve", "--model", model_path, "--port", port, cwd=tmp_path)
    assert done.returncode == 2
    assert "in use" in done.stderr


def test_a_stream_is_named_while_it_comes(model_path):
    sound = (voice(110.0, 5.0, seed=5) * 32_767).astype("<i2").tobytes()
    quiet = np.zeros(2 * RATE, "<i2").tobytes()
    with (
        client_of(model_path) as client,
        client.websocket_connect("/listen", headers=HOST) as socket,
    ):
        updates = []
        for data in (quiet, sound):
            for start in range(0, len(data), 6_400):
                socket.send_bytes(data[start : start + 6_400])
        socket.send_text("end")
        while (message := socket.receive())["type"] == "websocket.send":
            updates.append(json.loads(message["text"]))
    assert updates[0]["speaker"] is None
    assert updates[0]["reason"] == "no_speech"
    assert updates[-1]["seconds"] == pytest.approx(7.0, abs=0.5)
    assert updates[-1]["predictions"][0]["speaker"] in ("ada", "ben", "cleo", "dan")


def test_a_stream_of_another_kind_is_closed(model_path):
    from starlette.websockets import WebSocketDisconnect

    with client_of(model_path, api_key="sesame") as client:
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/listen"):
            pass
        key = {"X-API-Key": "sesame", **HOST}
        for address in ("/listen?rate=1", "/listen?rate=x"):
            with pytest.raises(WebSocketDisconnect), client.websocket_connect(address, headers=key):
                pass
        with client.websocket_connect("/listen", headers=key) as socket:
            socket.send_bytes(b"abc")
            assert socket.receive_json()["error"]["code"] == "microphone"
