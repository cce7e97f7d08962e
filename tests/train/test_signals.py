"""Signals during training: a flag, and nothing is lost of them."""

from __future__ import annotations

import signal

import pytest

from voxedge.errors import Interrupted, TrainingError
from voxedge.train import signals
from voxedge.train.signals import stop_signals


@pytest.fixture
def outer():
    """The signals that reach the handler of the program around the training."""
    came = []
    previous = signal.signal(signal.SIGTERM, lambda signum, _: came.append(signum))
    yield came
    signal.signal(signal.SIGTERM, previous)


def stop():
    signal.raise_signal(signal.SIGTERM)


def test_two_at_once_are_one(outer):
    with stop_signals() as recorded:
        stop()
        stop()
        assert recorded.signum == signal.SIGTERM
        recorded.signum = 0
    assert outer == []


def test_a_later_one_interrupts_at_once(outer, monkeypatch):
    monkeypatch.setattr(signals, "_ONE_STOP", -1)

    def train():
        with stop_signals():
            stop()
            stop()

    with pytest.raises(Interrupted, match="at once") as stopped:
        train()
    assert stopped.value.status == 143
    assert outer == []


def test_one_that_is_obeyed_ends_there(outer):
    def train():
        with stop_signals() as recorded:
            stop()
            raise Interrupted(recorded.signum, "all saved")

    with pytest.raises(Interrupted, match="saved"):
        train()
    assert outer == []


@pytest.mark.parametrize("error", [None, TrainingError("the loss is nan"), KeyError()])
def test_one_that_comes_too_late_to_be_obeyed_reaches_the_program(outer, error):
    def train():
        with stop_signals():
            stop()
            if error is not None:
                raise error

    if error is None:
        train()
    else:
        with pytest.raises(type(error)):
            train()
    assert outer == [signal.SIGTERM]
    stop()
    assert outer == [signal.SIGTERM] * 2  # the old handler is back
