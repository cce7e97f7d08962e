from __future__ import annotations

import threading
import time

import pytest

from voxedge.files import atomic_write, locked


def test_a_block_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def begin() -> None:
        with atomic_write(path) as file:
            file.write(b"new")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        begin()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_named_as_it_was_asked_for(tmp_path):
    path = tmp_path / "gone" / "model.onnx"
    with pytest.raises(FileNotFoundError) as caught, atomic_write(path):
        pass
    assert caught.value.filename == str(path)


def test_a_lock_is_held_by_one_at_a_time_and_leaves_no_file(tmp_path):
    path = tmp_path / "people.vxg"
    with locked(path, 1):
        with pytest.raises(TimeoutError, match=r"people\.vxg"), locked(path, 0.05):
            pass
        with locked(tmp_path / "other.vxg", 0):
            pass
    with locked(path, 0):
        pass
    assert list(tmp_path.iterdir()) == []


def test_who_waits_for_a_lock_gets_it(tmp_path):
    path, turns = tmp_path / "people.vxg", []

    def take(number: int) -> None:
        with locked(path, 10):
            turns.append(number)
            time.sleep(0.02)
            turns.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(turns) == 10
    assert turns[::2] == turns[1::2]  # nobody came in between
