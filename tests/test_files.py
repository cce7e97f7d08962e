from __future__ import annotations

import stat
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


def test_a_private_file_is_its_owners_alone_and_one_that_was_shared_stays_so(tmp_path):
    path = tmp_path / "people.vxg"
    for mode in (0o600, 0o640):
        with atomic_write(path, like=path) as file:
            file.write(b"embeddings")
        assert stat.S_IMODE(path.stat().st_mode) == mode
        path.chmod(0o640)
    with atomic_write(tmp_path / "index", like=path) as file:
        file.write(b"more of them")
    assert stat.S_IMODE((tmp_path / "index").stat().st_mode) == 0o640


def test_a_group_that_is_not_the_users_shuts_the_file(tmp_path, monkeypatch):
    path = tmp_path / "people.vxg"
    path.write_bytes(b"old")
    path.chmod(0o660)

    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("voxedge.files.os.chown", refused)
    with atomic_write(path, like=path) as file:
        file.write(b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


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
