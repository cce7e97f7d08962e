"""Chromium as the tests and the benchmarks of the page drive it: Debian's, by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """Its path, or that in ``VOXEDGE_CHROMIUM``; None where there is none."""
    named = os.environ.get("VOXEDGE_CHROMIUM")
    return named or next(filter(None, map(shutil.which, _NAMES)), None)


def why_no_browser() -> str | None:
    """Why the page cannot be driven; None where it can."""
    if not find_chromium():
        return "no Chromium for the page (install it, or set VOXEDGE_CHROMIUM)"
    if not find_spec("playwright"):
        return "no Playwright (the extra browser)"
    return None


@contextmanager
def chromium(*arguments: str) -> Iterator[Any]:
    """A browser of its own, with arguments."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        path = find_chromium()
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", *arguments])
        yield browser
        browser.close()
