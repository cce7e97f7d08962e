"""Lists of pairs of clips for verification, such as VoxCeleb1-O.

A line is ``1 id10270/x/00001.wav id10270/y/00002.wav``, with 0 for two voices, and names relative
to the corpus (Nagrani, Chung and Zisserman 2017, "VoxCeleb: a large-scale speaker identification
dataset").
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from voxedge.errors import CorpusError


class Trial(NamedTuple):
    """A pair of clips, by their names."""

    same: bool  # one voice
    first: str
    second: str


def read_trials(path: Path) -> list[Trial]:
    """Read a list of trials.

    Raises:
        CorpusError: it cannot be read, a line is malformed, or all trials are of one kind.
    """
    trials = []
    try:
        lines = path.read_text("utf-8", "surrogateescape").splitlines()
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror or error}") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words and (len(words) != 3 or words[0] not in ("0", "1")):
            raise CorpusError(
                f"{path}, line {number}: {line[:80]!r} is no trial",
                "expected '1 id10270/x/00001.wav id10270/y/00002.wav', with 0 for two voices",
            )
        if words:
            trials.append(Trial(words[0] == "1", words[1], words[2]))
    if len({trial.same for trial in trials}) < 2:
        raise CorpusError(f"{path} needs trials of one voice and trials of two")
    return trials
