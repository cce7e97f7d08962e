"""The Dockerfile of ``voxedge serve``, read: it is not built here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import tomllib
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from docs.check import ROOT, parse
from voxedge.errors import UsageError

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PORT = "8000"


@pytest.fixture(scope="module")
def steps():
    """Instructions and their arguments, in order; continued lines are joined."""
    text = (ROOT / "docs" / "examples" / "Dockerfile").read_text()
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def only(steps, instruction):
    (found,) = [arguments for name, arguments in steps if name == instruction]
    return found


def test_the_base_is_pinned_and_has_a_python_that_voxedge_runs_on(steps):
    assert steps[0][0] == "FROM"
    image, _, tag = only(steps, "FROM").partition(":")
    assert image == "python"
    major, minor = map(int, re.match(r"(\d+)\.(\d+)-slim-\w+$", tag).groups())
    least = tuple(map(int, re.search(r">=(\d+)\.(\d+)", PROJECT["requires-python"]).groups()))
    assert (major, minor) >= least


def test_it_installs_the_wheel_with_extras_that_exist(steps):
    pattern = only(steps, "COPY").split()[0]
    name = PROJECT["name"].replace("-", "_")
    assert fnmatch(f"{name}-{PROJECT['version']}-py3-none-any.whl", pattern)
    assert not fnmatch(f"another-{PROJECT['version']}-py3-none-any.whl", pattern)
    runtime = only(steps, "ARG")
    assert runtime == "RUNTIME=cpu"
    assert '"${wheel}[${RUNTIME},serve]"' in only(steps, "RUN")
    assert {"cpu", "gpu", "serve"} <= set(PROJECT["optional-dependencies"])


def test_it_does_not_run_as_root(steps):
    names = [name for name, _ in steps]
    assert int(only(steps, "USER")) > 0
    assert f"useradd --uid {only(steps, 'USER')}" in only(steps, "RUN")
    assert names.index("RUN") < names.index("USER") < names.index("ENTRYPOINT")


def test_its_command_is_one_of_voxedge_and_holds_no_key(steps):
    command = json.loads(only(steps, "ENTRYPOINT"))
    parse(" ".join(command))
    assert command[-2:] == ["--port", PORT]
    assert only(steps, "EXPOSE") == PORT
    assert not any("API_KEY" in arguments for _, arguments in steps)
    settings = pytest.importorskip("voxedge.service.settings", reason="needs the extra serve")
    host = command[command.index("--host") + 1]
    with pytest.raises(UsageError):
        settings.require_key(host, settings.Settings(api_key=""))


@pytest.mark.parametrize("status", [200, 503])
def test_its_health_check_asks_healthz(steps, status):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    program = json.loads(only(steps, "HEALTHCHECK").partition("CMD")[2])
    assert program[:2] == ["python", "-c"]
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code = program[2].replace(f":{PORT}/", f":{server.server_port}/")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True)
        server.shutdown()
    assert (done.returncode == 0) == (status == 200)
