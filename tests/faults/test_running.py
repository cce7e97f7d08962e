"""What callers do to one session: threads, batches, odd arrays, and pipes that close."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.conftest import SPEAKERS, voice
from tests.faults.conftest import CLEAN
from tests.faults.make import wav
from voxedge import Identifier
from voxedge.cli.app import run
from voxedge.errors import ProviderUnavailable
from voxedge.inference.prediction import Prediction

LENGTHS = (0.3, 1, 0.9, 1.1, 2.9, 0.7, 1.5, 5, 2)  # seconds; a window has one


@pytest.fixture(scope="module")
def clips() -> list[bytes]:
    """Files of many lengths and four voices."""
    voices = list(SPEAKERS.values())
    return [
        wav(np.rint(voice(voices[number % 4], seconds, number) * 32768) / 32768)
        for number, seconds in enumerate(LENGTHS)
    ]


def probabilities(prediction: Prediction) -> dict[str, float]:
    return dict(prediction.predictions)


def test_a_device_asked_for_by_name_must_be_there(small_file, tmp_path, capsys):
    with pytest.raises(ProviderUnavailable, match="CoreMLExecutionProvider"):
        Identifier(small_file, device="coreml")
    (tmp_path / "clip.wav").write_bytes(wav(CLEAN))
    words = ["identify", tmp_path / "clip.wav", "--device", "coreml", "--model", small_file]
    assert run([str(word) for word in words]) == 6
    assert "CoreMLExecutionProvider" in capsys.readouterr().err


def test_sixteen_threads_may_share_it(identifier, clips):
    serial = [identifier.identify(clip).predictions for clip in clips]
    with ThreadPoolExecutor(16) as pool:
        for _ in range(4):
            threaded = pool.map(lambda clip: identifier.identify(clip).predictions, clips)
            assert list(threaded) == serial


@pytest.mark.parametrize("batch_size", [1, 2, 7, 16, 100])
def test_answers_do_not_depend_on_the_batch_size(traced_file, identifier, clips, batch_size):
    batched = Identifier(traced_file, batch_size=batch_size, threads=1, any_sound=True)
    for clip, prediction in zip(clips, batched.identify_many(clips), strict=True):
        expected = probabilities(identifier.identify(clip))
        assert probabilities(prediction) == pytest.approx(expected, abs=1e-4)


def test_a_batch_of_nothing_is_no_answers(identifier):
    assert list(identifier.identify_many([])) == []


def test_answers_do_not_depend_on_the_order_of_the_clips(identifier, clips):
    forward = [probabilities(each) for each in identifier.identify_many(clips)]
    for order in (range(len(clips))[::-1], np.random.default_rng(5).permutation(len(clips))):
        permuted = identifier.identify_many([clips[place] for place in order])
        for place, prediction in zip(order, permuted, strict=True):
            assert probabilities(prediction) == pytest.approx(forward[place], abs=1e-4)


def test_read_only_and_strided_arrays_are_the_same_clip(identifier, tmp_path):
    expected = identifier.identify(CLEAN).predictions
    read_only = CLEAN.copy()
    read_only.setflags(write=False)
    np.save(tmp_path / "clip.npy", CLEAN)
    for samples in (
        read_only,
        np.repeat(CLEAN, 3)[::3],
        CLEAN[::-1].copy()[::-1],
        np.asfortranarray(np.stack([CLEAN, CLEAN], axis=1)),
        np.load(tmp_path / "clip.npy", mmap_mode="r"),
        CLEAN.astype(">f4"),
    ):
        assert identifier.identify(samples).predictions == expected
    assert np.array_equal(read_only, CLEAN)


MEMORY = """
import sys
import numpy as np
from tests.faults.make import sound, wav
from voxedge import Identifier
def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))
clips = [sound(0.3 + 0.1 * number, seed=number) for number in range(19)] + [wav(sound())[:40]]
identifier = Identifier(sys.argv[1], threads=1, any_sound=True)
def run(count):
    for _ in range(count // len(clips)):
        assert sum(hasattr(each, "error") for each in identifier.identify_many(clips)) == 1
run(500)  # allocators and caches fill first
before = resident()
run(1_000)
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_number_of_runs(small_file):
    """Clips of mixed sizes, one in twenty of them broken."""
    command = [sys.executable, "-c", MEMORY, str(small_file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert float(done.stdout) < 2  # MB; pages come in steps


def test_a_reader_that_leaves_early_gets_a_whole_line_and_no_noise(tmp_path, small_file):
    """``voxedge identify --json ... | head -1``."""
    (tmp_path / "clip.wav").write_bytes(wav(CLEAN))
    command = [sys.executable, "-m", "voxedge", "identify", "--json", "--model", str(small_file)]
    with subprocess.Popen(
        [*command, "--any-sound", *["clip.wav"] * 3_000],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        process.stdout.close()
        noise = process.stderr.read()
    assert line.endswith(b"\n")
    assert json.loads(line)["path"] == "clip.wav"
    assert noise == b""
    assert process.returncode == 128 + signal.SIGPIPE
