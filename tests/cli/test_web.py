"""``voxedge web``: what it says, and that --serve serves until it is stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request

from tests.conftest import voxedge


def test_a_site_is_written(workshop, tmp_path):
    done = voxedge("web", workshop / "model.onnx", "--out", "page", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("page: 13 files, ")
    assert (tmp_path / "page" / "index.html").is_file()


def test_who_publishes_people_is_told(workshop, tmp_path):
    model = workshop / "model.onnx"
    enroll = voxedge("enroll", "ada", workshop / "ada.wav", "--model", model, cwd=tmp_path)
    assert enroll.returncode == 0, enroll.stderr
    done = voxedge("web", model, "--gallery", "people.vxg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "gets the names and embeddings of 1 people" in " ".join(done.stderr.split())
    assert (tmp_path / "site" / "people.vxg").is_file()


def test_a_missing_model_is_an_error(tmp_path):
    done = voxedge("web", "model.onnx", cwd=tmp_path)
    assert done.returncode == 4
    assert "there is no model file" in done.stderr
    assert not (tmp_path / "site").exists()


def test_it_is_served_until_it_is_stopped(workshop, tmp_path):
    command = [sys.executable, "-m", "voxedge", "web", workshop / "model.onnx"]
    process = subprocess.Popen(
        [*command, "--serve", "--port", "0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    url = process.stdout.readline().strip()
    assert url.startswith("http://localhost:")
    with urllib.request.urlopen(url) as response:
        assert b"Who is speaking?" in response.read()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert not list(tmp_path.iterdir())  # the site was a temporary one
