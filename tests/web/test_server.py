"""The server of ``--serve``: this machine alone, the headers of threads, nothing but the site."""

from __future__ import annotations

import http.client
import threading

import pytest

from voxedge.errors import UsageError
from voxedge.web.server import SiteServer


@pytest.fixture
def server(tmp_path):
    (tmp_path / "site" / "assets").mkdir(parents=True)
    (tmp_path / "site" / "index.html").write_text("hello")
    (tmp_path / "site" / "run.mjs").write_text("1")
    (tmp_path / "secret.txt").write_text("secret")
    with SiteServer(tmp_path / "site") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def get(server, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    found = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return found


def test_the_page_may_share_memory_between_threads(server):
    status, headers, body = get(server, "/")
    assert (status, body) == (200, b"hello")
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    _, headers, _ = get(server, "/run.mjs")
    assert headers["Content-type"] == "text/javascript"


def test_nothing_but_the_site_is_served(server):
    assert get(server, "/../secret.txt")[0] == 404
    assert get(server, "/%2e%2e/secret.txt")[0] == 404
    assert get(server, "/assets/")[0] == 404


def test_other_names_of_this_machine_are_refused(server):
    """A page elsewhere may lead its own name to this address (DNS rebinding)."""
    assert get(server, "/", Host=f"evil.example:{server.server_port}")[0] == 403
    assert get(server, "/", Host=f"localhost:{server.server_port}")[0] == 200


def test_it_listens_on_this_machine_alone(server):
    assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_an_error(server, tmp_path):
    with pytest.raises(UsageError, match="is taken"):
        SiteServer(tmp_path, server.server_port)
