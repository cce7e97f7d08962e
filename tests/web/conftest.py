"""A browser, a site of a small model file that knows strangers, and clips for it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from bench.chromium import chromium, why_no_browser
from tests.conftest import RATE, SPEAKERS, voice
from tests.inference.test_open_set import resealed
from voxedge.inference.identifier import Identifier
from voxedge.inference.open_set import OpenSet
from voxedge.web.server import SiteServer
from voxedge.web.site import write_site

#: What Playwright must have to see requests of service workers as well.
os.environ["PW_EXPERIMENTAL_SERVICE_WORKER_NETWORK_EVENTS"] = "1"

STRANGER = 240.0  # Hz, of a voice that the model file does not know
TIMEOUT = 120_000  # ms: processors may be busy with other tests


def require_browser() -> None:
    """Skip where Chromium, or the library that drives it, is missing."""
    if problem := why_no_browser():
        pytest.skip(problem)


@contextmanager
def launched(*arguments: str) -> Iterator[Any]:
    """A browser of its own, with arguments."""
    require_browser()
    with chromium(*arguments) as browser:
        yield browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium."""
    with launched() as browser:
        yield browser


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a site."""
    with SiteServer(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.url
        server.shutdown()


@contextmanager
def opened(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    """The page, as soon as it can hear; an error on it that nobody caught fails the test."""
    context = browser.new_context(**options)
    context.set_default_timeout(TIMEOUT)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    yield page
    context.close()
    assert not problems


def hear(page: Any, *files: Path) -> dict[str, dict[str, Any]]:
    """Choose files, and wait for all answers: file name -> answer, or ``error``."""
    before = page.locator("#answers-list > li").count()
    page.locator("#files").set_input_files([str(path) for path in files])
    done = page.locator("#answers-list > li:has(.answer, .error)")
    done.nth(before + len(files) - 1).wait_for()
    return answers(page)


def answers(page: Any) -> dict[str, dict[str, Any]]:
    """The answers that stand on the page."""
    read = "cards => cards.map(c => [c.dataset.name, c.dataset.answer, c.innerText])"
    cards = page.locator("#answers-list > li").evaluate_all(read)
    newest_last = reversed(cards)
    return {n: json.loads(found) if found else {"error": text} for n, found, text in newest_last}


def values(answer: dict[str, Any]) -> dict[str, float]:
    """Names -> probabilities or cosines of an answer."""
    return {guess["name"]: guess["value"] for guess in answer["guesses"]}


@pytest.fixture(scope="session")
def guarded(model_path, tmp_path_factory) -> Path:
    """The model file with a threshold between its voices and a stranger's."""
    require_browser()
    identifier = Identifier(model_path)

    def least(pitches) -> list[float]:
        clips = [voice(pitch, 2.0, seed) for pitch in pitches for seed in (3, 4)]
        return [float(np.sort(identifier.run(clip[None]).logits[0])[-1]) for clip in clips]

    known, strange = min(least(SPEAKERS.values())), max(least([STRANGER]))
    assert strange < known
    open_set = OpenSet((2.0, 0.0, 0.0), -(known + strange), {0.1: -1.0, 0.05: 0.0}, 60, "speakers")
    return resealed(model_path, tmp_path_factory.mktemp("web") / "model.onnx", open_set)


@pytest.fixture(scope="session")
def site(guarded, tmp_path_factory) -> Path:
    """A site of it."""
    folder = tmp_path_factory.mktemp("site") / "site"
    write_site(folder, guarded)
    return folder


@pytest.fixture(scope="module")
def url(site) -> Iterator[str]:
    """Where it is served."""
    with served(site) as address:
        yield address


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    """Clips of all kinds: formats, lengths, strangers, and what is no clip."""
    folder = tmp_path_factory.mktemp("clips")
    for name, pitch in SPEAKERS.items():
        soundfile.write(folder / f"{name}.wav", voice(pitch, 2.0, 7), RATE)
    ada, ben = (voice(SPEAKERS[name], 2.0, 8) for name in ("ada", "ben"))
    soundfile.write(folder / "stranger.wav", voice(STRANGER, 2.0, 9), RATE)
    soundfile.write(folder / "float.wav", ada, RATE, subtype="FLOAT")
    high = soxr.resample(ada, RATE, 44_100)
    soundfile.write(folder / "24bit.wav", np.stack([high, high / 2], 1), 44_100, subtype="PCM_24")
    soundfile.write(folder / "8bit.wav", soxr.resample(ben, RATE, 8_000), 8_000, subtype="PCM_U8")
    high = soxr.resample(ben, RATE, 48_000)
    soundfile.write(folder / "opposed.wav", np.stack([high, -high], 1), 48_000, subtype="FLOAT")
    soundfile.write(folder / "flac.flac", soxr.resample(ada, RATE, 22_050), 22_050)
    random = np.random.default_rng(0)
    hiss = (0.003 * random.normal(size=4 * RATE)).astype(np.float32)
    soundfile.write(folder / "paused.wav", np.concatenate([hiss, ben, hiss, hiss]), RATE)
    soundfile.write(folder / "talk.wav", voice(SPEAKERS["dan"], 8.0, 11), RATE)
    soundfile.write(folder / "hiss.wav", 30 * hiss, RATE)
    soundfile.write(folder / "silence.wav", np.zeros(RATE, np.float32), RATE)
    soundfile.write(folder / "short.wav", ada[:1_000], RATE)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("hello" * 50)
    return folder
