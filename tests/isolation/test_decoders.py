"""Decoding in processes of their own: the same answers, and nothing lost where a worker fails."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import soundfile

from voxedge.audio.limits import Limits
from voxedge.audio.load import decode
from voxedge.errors import (
    AudioNotFound,
    BadSamples,
    DecodingStopped,
    OutsideLimits,
    TooShort,
    UnreadableAudio,
)
from voxedge.isolation import decoders
from voxedge.isolation.decoders import Decoders, Rules
from voxedge.speech.clip import find_speech

RATE = 16_000
RULES = Rules(RATE, Limits())


def encoded(seconds: float, rate: int = 44_100, channels: int = 2, form: str = "WAV") -> bytes:
    """A file of noise whose level changes."""
    random = np.random.default_rng(3)
    samples = random.uniform(-0.4, 0.4, (int(seconds * rate), channels))
    samples *= 0.55 + 0.45 * np.sin(np.arange(len(samples)) / rate * 9)[:, None]
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form)
    return file.getvalue()


@pytest.fixture(scope="module")
def pool():
    with Decoders(RULES, 1) as opened:
        yield opened


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG"])
def test_samples_and_facts_are_those_of_decoding_in_this_process(pool, form, tmp_path):
    data = encoded(1.3, form=form)
    path = tmp_path / "clip ä.x"
    path.write_bytes(data)
    here = decode(data, RATE)
    for clip in (data, memoryview(data), path):
        found = pool.decode(clip)
        np.testing.assert_array_equal(found.audio.samples, here.samples)
        assert found.audio.seconds == here.seconds
        assert (found.audio.source_rate, found.audio.channels) == (44_100, 2)
        assert found.audio.warnings == here.warnings
        assert found.speech == find_speech(here.samples, RATE)


def test_speech_is_looked_for_where_it_is_asked_for(real_speech):
    clip = next((real_speech / "speechocean762" / "known").rglob("*.opus"))
    with Decoders(Rules(RATE, Limits(), speech=False), 1) as deaf, Decoders(RULES, 1) as pool:
        assert deaf.decode(clip).speech is None
        speech = pool.decode(clip).speech
    assert speech == find_speech(decode(clip, RATE).samples, RATE)
    assert speech.seconds > 0.5


def test_errors_keep_their_kind_their_message_and_their_hint(pool, tmp_path):
    cases = [
        (b"no audio at all", UnreadableAudio),
        (tmp_path / "nothing.wav", AudioNotFound),
        (encoded(0.1), TooShort),
        (encoded(0.5, rate=2_000), OutsideLimits),
    ]
    for clip, kind in cases:
        with pytest.raises(kind) as here:
            decode(clip, RATE)
        with pytest.raises(kind) as there:
            pool.decode(clip)
        assert (there.value.message, there.value.hint) == (here.value.message, here.value.hint)
        assert type(there.value) is kind
    assert len(pool.decode(encoded(1.0)).audio.samples) == RATE  # and goes on


def test_raw_samples_are_described_with_the_clip(pool):
    samples = (np.sin(np.arange(RATE) / 9) * 9_000).astype("<i2")
    found = pool.decode(samples.tobytes(), raw="s16le,16000,1").audio.samples
    np.testing.assert_allclose(found, samples / 32_768, atol=1e-7)


def test_a_stream_gives_the_same_samples_block_by_block(pool):
    data = encoded(40.0, rate=16_000, channels=1)
    with pool.stream(data) as blocks:
        parts, seconds = [], []
        for block in blocks:
            parts.append(block)
            seconds.append(blocks.seconds)
            assert blocks.expected_seconds == pytest.approx(40.0)
    assert len(parts) > 3
    assert seconds == sorted(seconds)
    np.testing.assert_array_equal(np.concatenate(parts), decode(data, RATE).samples)
    assert (blocks.seconds, blocks.rate, blocks.channels) == (40.0, 16_000, 1)


def test_a_stream_that_is_left_early_does_not_disturb_the_next_clip(pool):
    with pool.stream(encoded(40.0)) as blocks:
        next(iter(blocks))
    assert len(pool.decode(encoded(1.0)).audio.samples) == RATE


@pytest.fixture
def fake(monkeypatch):
    """A pool whose worker misbehaves."""

    def make(kind: str, seconds: float = 30.0) -> Decoders:
        monkeypatch.setenv("FAKE_WORKER", kind)
        monkeypatch.setattr(decoders, "_PROGRAM", "tests.isolation.fakes")
        return Decoders(RULES, 1, seconds=seconds)

    return make


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("dies", "the process that decodes has failed: Segmentation fault"),
        ("odd", "sent 3 bytes"),
        ("huge", "a message of"),
        ("text", "not JSON"),
    ],
)
def test_a_worker_that_fails_costs_its_clip_alone(fake, monkeypatch, kind, message):
    with fake(kind) as pool:
        with pytest.raises(DecodingStopped, match=message):
            pool.decode(b"clip")
        monkeypatch.undo()
        assert len(pool.decode(encoded(1.0)).audio.samples) == RATE  # by another one


def test_samples_of_a_worker_are_not_believed(fake):
    with fake("nan") as pool, pytest.raises(BadSamples):
        pool.decode(b"clip")


def test_a_worker_that_hangs_is_stopped(fake, monkeypatch):
    with fake("hangs", seconds=1.0) as pool:
        began = time.monotonic()
        with pytest.raises(DecodingStopped, match="took over 1 s"):
            pool.decode(b"clip")
        assert time.monotonic() - began < 20


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_clip_that_takes_too_much_memory_is_stopped(tmp_path):
    path = tmp_path / "large.wav"
    path.write_bytes(encoded(1.0, rate=16_000, channels=1))
    header = bytearray(path.read_bytes()[:44])
    size = 600 << 20
    header[4:8], header[40:44] = (size + 36).to_bytes(4, "little"), size.to_bytes(4, "little")
    with path.open("wb") as file:  # sparse: hours of silence
        file.write(header)
        file.truncate(44 + size)
    rules = Rules(RATE, Limits(max_seconds=1e5))
    with Decoders(rules, 1, memory=800 << 20) as pool:
        with pytest.raises(DecodingStopped, match="emory"):
            pool.decode(path)
        assert len(pool.decode(encoded(1.0)).audio.samples) == RATE


def test_threads_share_the_workers(monkeypatch):
    data = encoded(1.0)
    results: list[int] = []
    with Decoders(RULES, 2) as pool:
        threads = [
            threading.Thread(target=lambda: results.append(len(pool.decode(data).audio.samples)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [RATE] * 8


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")
def test_a_confined_process_has_no_sockets_no_programs_and_no_files_to_write(tmp_path):
    program = textwrap.dedent(
        f"""
        import os, signal, socket, threading
        from voxedge.isolation.confine import confine

        print(confine(4 << 30))
        attempts = {{
            "socket": lambda: socket.socket(),
            "fork": lambda: os.fork(),
            "program": lambda: os.execv("/bin/true", ["true"]),
            "kill": lambda: os.kill(os.getppid(), 0),
            "write": lambda: open({str(tmp_path / "file")!r}, "w").write("x" * 99999),
        }}
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for name, attempt in attempts.items():
            try:
                print(name, attempt())
            except OSError as error:
                print(name, error.strerror)
        thread = threading.Thread(target=print, args=("a thread",))
        thread.start()
        thread.join()
        print(len(open("/proc/self/status").read()) > 0)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == [
        "['memory', 'files', 'system calls']",
        "socket Operation not permitted",
        "fork Operation not permitted",
        "program Operation not permitted",
        "kill Operation not permitted",
        "write File too large",
        "a thread",
        "True",
    ], done.stderr
