"""A stream of samples over a WebSocket, named while it comes.

Shapes: S samples.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from voxedge.audio.limits import MAX_RATE, MIN_RATE
from voxedge.errors import VoxedgeError
from voxedge.inference.identifier import Identifier
from voxedge.timeline.inbox import Inbox
from voxedge.timeline.listening import Update, listen
from voxedge.timeline.naming import Namer

_MOST = 1 << 20  # bytes of a message
_FULL_SCALE = 32_768
_PAUSE = 0.02  # seconds


class Sender:
    """The other side of a WebSocket, as a device of ``voxedge.timeline.listening``."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.ready = threading.Event()
        self.inbox: Inbox | None = None
        self._came = 0  # samples

    def clock(self) -> float:
        """Seconds of sound that came: a network delivers in bursts, a file all at once."""
        return self._came / self.rate

    def put(self, data: bytes) -> None:
        """Take in 16-bit little-endian samples.

        Raises:
            ValueError: half a sample.
        """
        samples = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(_FULL_SCALE)
        self._came += len(samples)
        if self.inbox is not None:
            self.inbox.put(samples)

    @contextmanager
    def into(self, inbox: Inbox) -> Iterator[None]:
        """See ``Device``."""
        self.inbox = inbox
        self.ready.set()
        yield


async def listen_to(socket: WebSocket, model: Identifier, name: Namer, rate: int) -> None:
    """Send an update for every part of a second that comes, until the other side ends.

    Args:
        socket: accepted; it sends 16-bit little-endian mono samples, in messages of any size.
        model: gives the embeddings.
        name: names the speaker.
        rate: of the samples, Hz.
    """
    sender, loop = Sender(rate), asyncio.get_running_loop()
    updates: asyncio.Queue[Update | VoxedgeError | None] = asyncio.Queue()

    def work() -> None:
        end: VoxedgeError | None = None
        try:
            for update in listen(sender, model, name, clock=sender.clock):
                loop.call_soon_threadsafe(updates.put_nowait, update)
        except VoxedgeError as error:
            end = error
        loop.call_soon_threadsafe(updates.put_nowait, end)

    thread = threading.Thread(target=work, name="voxedge-listening", daemon=True)
    thread.start()
    receiving = asyncio.create_task(_receive(socket, sender))
    try:
        while isinstance(update := await updates.get(), Update):
            await socket.send_json(update.to_dict())
        if isinstance(update, VoxedgeError):
            await socket.send_json({"error": {"code": update.code, "message": str(update)}})
        await socket.close()
    except (WebSocketDisconnect, RuntimeError):  # the other side has gone
        pass
    finally:
        receiving.cancel()
        if sender.inbox is not None:
            sender.inbox.end()


async def _receive(socket: WebSocket, sender: Sender) -> None:
    await asyncio.to_thread(sender.ready.wait)
    assert sender.inbox is not None
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                break
            data = message.get("bytes")
            if data is None:  # text: the sender is done
                break
            if len(data) > _MOST or len(data) % 2:
                sender.inbox.end(f"a message of {len(data)} bytes: at most {_MOST}, 2 a sample")
                return
            step = 2 * max(1, sender.rate // 10)  # a tenth of a second
            for start in range(0, len(data), step):
                sender.put(data[start : start + step])
                while sender.inbox.full:  # then the other side waits, and nothing is dropped
                    await asyncio.sleep(_PAUSE)
    except (WebSocketDisconnect, RuntimeError):
        pass
    sender.inbox.end()


def check_rate(rate: int) -> bool:
    """Whether samples of a rate (Hz) are taken."""
    return MIN_RATE <= rate <= MAX_RATE
