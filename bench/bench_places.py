"""One answer in other places: the same file and the same clip in Python, Node, a page, a service.

Every way gets a 16-bit WAV file and gives the name in it. The example for Node, as a bare script
would, does not look for speech first; the others do.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
import soundfile

from bench.alternate import IN_A_ROW, alternate, timed
from bench.chromium import chromium, why_no_browser
from bench.clips import held_out_clips
from bench.prepare import ROOT
from bench.service import running_service
from voxedge.audio.load import load_audio
from voxedge.errors import MissingExtra, VoxedgeError
from voxedge.inference.identifier import Identifier
from voxedge.threads import available_processors
from voxedge.web.server import SiteServer
from voxedge.web.site import write_site

PYTHON, NODE, PAGE, SERVICE = "python_api", "node", "page", "service"
TITLES = {
    PYTHON: "Python, Identifier",
    SERVICE: "voxedge serve, one client",
    NODE: "Node, the example",
    PAGE: "the page in Chromium (WebAssembly)",
}
#: (model, clip, an empty folder's path) -> a trial.
Place: TypeAlias = Callable[[Path, Path, Path], AbstractContextManager[Callable[[], float]]]

_EXAMPLE = ROOT / "docs" / "examples" / "identify.mjs"


def test_places(benchmark, prepared, device_model, windows, rounds, tmp_path):
    single = np.flatnonzero(np.bincount(windows.clip_index) == 1)
    clip = tmp_path / "clip.wav"
    path = held_out_clips(prepared.run)[single[0] if len(single) else 0].path
    soundfile.write(clip, load_audio(path, 16_000), 16_000, subtype="PCM_16")
    trials: dict[str, Callable[[], float]] = {}
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        for name, place in _PLACES.items():
            try:
                trials[name] = stack.enter_context(place(device_model, clip, tmp_path / name))
            except VoxedgeError as error:
                missing[name] = error.message
        timings = alternate(benchmark, trials, rounds)
    benchmark.extra_info.update(
        suite="places",
        device="cpu",
        precision=Identifier(device_model).metadata.precision,
        threads=available_processors(),
        missing=missing,
        figures=timings,
    )


@contextmanager
def _python(model: Path, clip: Path, _: Path) -> Iterator[Callable[[], float]]:
    identifier = Identifier(model, device="cpu", threads=available_processors())
    yield timed(lambda: identifier.identify(clip), IN_A_ROW)


@contextmanager
def _service(model: Path, clip: Path, _: Path) -> Iterator[Callable[[], float]]:
    body = clip.read_bytes()
    with running_service(model) as (port, _process):

        def trial() -> float:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

            def ask() -> None:
                connection.request("POST", "/identify", body)
                assert "speaker" in json.loads(connection.getresponse().read())

            return timed(ask, IN_A_ROW)()

        yield trial


@contextmanager
def _node(model: Path, clip: Path, folder: Path) -> Iterator[Callable[[], float]]:
    """The program of the document on a row of clips; the time between two of its lines."""
    modules = Path(os.environ.get("VOXEDGE_NODE_MODULES", _EXAMPLE.parent / "node_modules"))
    if not (shutil.which("node") and (modules / "onnxruntime-node").is_dir()):
        raise MissingExtra("no Node with onnxruntime-node (set VOXEDGE_NODE_MODULES)")
    folder.mkdir()
    (folder / "node_modules").symlink_to(modules.resolve())
    program = shutil.copy(_EXAMPLE, folder)
    command = ["node", program, str(model), *[str(clip)] * (IN_A_ROW + 1)]

    def trial() -> float:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            moments = [time.perf_counter() for _ in process.stdout]
        assert len(moments) == IN_A_ROW + 1
        return float(np.median(np.diff(moments)[IN_A_ROW // 2 :]))

    yield trial


@contextmanager
def _page(model: Path, clip: Path, folder: Path) -> Iterator[Callable[[], float]]:
    """The site in Chromium; the time that it says an answer took."""
    if problem := why_no_browser():
        raise MissingExtra(problem)
    write_site(folder, model)
    with SiteServer(folder) as server, chromium() as browser:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(server.url)
        page.wait_for_selector("body[data-ready]")
        cards = page.locator("#answers-list > li:has(.answer, .error)")

        def trial() -> float:
            for _ in range(IN_A_ROW):
                before = cards.count()
                page.locator("#files").set_input_files(str(clip))
                cards.nth(before).wait_for()
            newest_first = cards.all_text_contents()[: IN_A_ROW // 2]
            took = [re.search(r"answered in ([\d.]+) s", text) for text in newest_first]
            return float(np.median([float(found[1]) for found in took if found]))

        yield trial
        server.shutdown()


_PLACES: Mapping[str, Place] = {PYTHON: _python, SERVICE: _service, NODE: _node, PAGE: _page}
