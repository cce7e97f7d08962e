"""What a device delivers, and its rate by the clock."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from voxedge.errors import MicrophoneError
from voxedge.timeline import inbox as module
from voxedge.timeline.inbox import Inbox

RATE = 16_000


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def deliver(seconds: float, true_rate: int, said: int, jitter: float = 0.0) -> Inbox:
    """An inbox that is emptied as blocks of 50 ms come from a device."""
    clock, random = Clock(), np.random.default_rng(0)
    inbox = Inbox(said, clock)
    block = round(0.05 * said)
    for number in range(round(seconds * true_rate / block)):
        clock.now = 100.0 + number * block / true_rate + random.uniform(0, jitter)
        inbox.put(np.zeros(block, np.float32))
        inbox.take(block)
    return inbox


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_a_device_that_keeps_its_rate_is_accepted(rate):
    assert deliver(30.0, rate, rate).dropped == 0
    deliver(30.0, rate, rate, jitter=0.1)


@pytest.mark.parametrize(("true", "said"), [(44_100, 48_000), (48_000, 44_100), (8_000, 16_000)])
def test_another_rate_than_it_says_is_refused(true, said):
    with pytest.raises(MicrophoneError, match=rf"says {said} Hz and delivers {true} frames"):
        deliver(6.0, true, said)


def test_late_frames_are_dropped_and_counted():
    inbox = Inbox(RATE, Clock())
    blocks = [np.full(1_600, number, np.float32) for number in range(30)]  # 3 s
    for block in blocks:
        inbox.put(block)
    taken = inbox.take(1)
    assert inbox.dropped == RATE
    assert (taken == np.concatenate(blocks[10:])).all()  # the newest two seconds


def test_taking_waits_for_enough():
    inbox = Inbox(RATE, Clock())
    threading.Timer(0.05, inbox.put, [np.ones(100, np.float32)]).start()
    threading.Timer(0.10, inbox.put, [np.ones(100, np.float32)]).start()
    assert len(inbox.take(150)) == 200


def test_the_end():
    inbox = Inbox(RATE, Clock())
    inbox.put(np.ones(10, np.float32))
    inbox.end()
    assert len(inbox.take(1_000)) == 10
    assert inbox.take(1_000) is None
    inbox.end("the microphone has stopped")
    with pytest.raises(MicrophoneError, match="has stopped"):
        inbox.take(1)


def test_a_dead_device_is_said(monkeypatch):
    monkeypatch.setattr(module, "_SILENT", 0.05)
    with pytest.raises(MicrophoneError, match="delivered nothing"):
        Inbox(RATE, Clock()).take(1)
