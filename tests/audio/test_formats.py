"""Which names are those of clips."""

from __future__ import annotations

import sys

import pytest

from voxedge.audio import formats
from voxedge.audio.formats import AV_SUFFIXES, SUFFIXES, readability


@pytest.fixture(params=[False, True], ids=["without PyAV", "with PyAV"])
def has_av(request, monkeypatch) -> bool:
    monkeypatch.setattr(formats, "has_av", lambda: request.param)
    return request.param


def test_a_name_says_whether_it_is_a_clip_here_with_the_extra_or_not_at_all(has_av):
    for name in ("a.wav", "A.WAV", "b/c.d.flac", "x.opus", "clip.bw64"):
        assert readability(name) == "readable"
    for name in ("a.m4a", "A.M4A", "b/c.wav.webm", "x.amr", "y.wma", "z.aac", "q.ac3", "w.mka"):
        assert readability(name) == ("readable" if has_av else "needs_av")
    for name in ("", ".wav", ".m4a", "wav", "notes.txt", "clip.wav.bak", "Thumbs.db", "a.wav/b"):
        assert readability(name) == "not_audio"


def test_no_ending_belongs_to_both():
    assert not SUFFIXES & AV_SUFFIXES


def test_a_module_that_cannot_be_found_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert formats.has_av.__wrapped__() is False
