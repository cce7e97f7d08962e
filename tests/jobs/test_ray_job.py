"""A batch job by Ray: stopped at any moment it loses nothing and doubles nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import voxedge
from voxedge.inference.identifier import Identifier

pytest.importorskip("ray", reason="ray is not installed: the extra ray")


@pytest.fixture(scope="module")
def recordings(workshop, tmp_path_factory):
    """Many clips under different names, and one that is none."""
    folder = tmp_path_factory.mktemp("job") / "recordings"
    folder.mkdir()
    clips = sorted((workshop / "data").rglob("*.wav"))
    for number in range(700):
        source = clips[number % len(clips)]
        shutil.copy(source, folder / f"{number:04d}-{source.parent.name}.wav")
    (folder / "broken.wav").write_bytes(b"no audio")
    return folder


def rows_in(folder) -> int:
    """Rows of the files that are whole: one may be half written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 0
    for file in folder.glob("*.parquet"):
        with contextlib.suppress(pa.ArrowInvalid, OSError):
            count += pq.read_metadata(file).num_rows
    return count


def test_a_job_that_was_killed_is_continued(recordings, model_path, tmp_path):
    import pyarrow.parquet as pq

    out = tmp_path / "answers"
    command = [sys.executable, "-m", "voxedge", "identify", str(recordings), "--engine", "ray"]
    command += ["--out", str(out), "--model", str(model_path), "--workers", "1"]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 300
    while not rows_in(out / "answers") and first.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert not (out / "job.done").exists()
    assert 0 < rows_in(out / "answers") < 701
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 5, done.stderr[-2000:]  # one clip failed
    assert "701 clips, 1 of them with an error" in done.stderr
    table = pq.read_table(out / "answers").to_pylist()
    assert len({row["path"] for row in table}) == len(table) == 701
    errors = {row["path"].rsplit("/", 1)[1]: row["error"] for row in table if row["error"]}
    assert errors == {"broken.wav": "unreadable"}
    identifier = Identifier(model_path, device="cpu")
    for row in table[:20]:
        if not row["error"]:
            assert row["speaker"] == identifier.identify(row["path"]).speaker
    again = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert again.returncode == 2
    assert "is done" in again.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("data",), "a folder for its answers"),
        (("data", "data", "--out", "out"), "one folder"),
        (("nothing", "--out", "out"), "no folder"),
    ],
)
def test_jobs_that_make_no_sense_are_refused(workshop, flags, message):
    done = voxedge("identify", *flags, "--engine", "ray", cwd=workshop)
    assert done.returncode == 2
    assert message in done.stderr


def test_flags_of_jobs_are_for_jobs(workshop):
    done = voxedge("identify", "data", "--out", "out", cwd=workshop)
    assert done.returncode == 2
    assert "--engine ray" in done.stderr


def test_what_is_written_twice_or_cut_off_is_deleted(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from voxedge.jobs.ray_job import RayJob, _report

    folder = tmp_path / "answers"
    folder.mkdir()
    for name, rows in (
        ("a", {"x": None, "y": "unreadable"}),
        ("b", {"y": "unreadable", "z": None}),
    ):
        table = pa.table({"path": list(rows), "error": pa.array(list(rows.values()), pa.string())})
        pq.write_table(table, folder / f"{name}.parquet")
    (folder / "c.parquet").write_bytes((folder / "a.parquet").read_bytes()[:-20])
    assert _report(RayJob("", tmp_path, "")) == (3, 1, folder)
    assert sorted(pq.read_table(folder)["path"].to_pylist()) == ["x", "y", "z"]
    assert [file.name for file in sorted(folder.iterdir())] == ["a.parquet", "b.parquet"]
