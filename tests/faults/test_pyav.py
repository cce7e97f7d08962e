"""Damaged files of the formats that FFmpeg decodes: an answer or a named error, in time."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install -e '.[av]'")

from tests.audio.test_pyav import FILES


@pytest.mark.parametrize("name", FILES)
def test_flipped_bits_never_hang_or_crash_the_decoder(name, watchdog):
    data = FILES[name]
    draw = random.Random(name)
    for number in range(16):
        broken = bytearray(data)
        for _ in range(1 + number % 8):
            last = (min(600, len(data)), len(data))[number % 2]  # the header, or anywhere
            at = draw.randrange(last)
            at = len(data) - 1 - at if number % 4 == 2 else at  # an index at the end
            broken[at] ^= 1 << draw.randrange(8)
        answer = watchdog.decode(bytes(broken))
        assert answer.split()[0] not in ("HANGS", "CRASHED", "BUG"), answer


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_never_hangs_or_crashes_the_decoder(name, watchdog):
    data = FILES[name]
    for length in (1, 8, 20, 64, 200, 1_000, len(data) // 3, len(data) - 1):
        answer = watchdog.decode(data[:length])
        assert answer.split()[0] not in ("HANGS", "CRASHED", "BUG"), (length, answer)
