"""Which speakers a student is not trained on, and how well it tells them apart.

Shapes: C clips, E embedding.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from voxedge.metrics import equal_error_rate

#: A folder of clips whose speakers are not known: they are trained on, and never compared.
UNLABELLED = "unlabelled"
MOST_CLIPS = 10  # of a speaker that are compared: the number of pairs grows with their square

Speaker: TypeAlias = tuple[str, str]  # names of the corpus and of the speaker in it


def choose_held_out(
    speakers: Sequence[Speaker], count: int, never: Collection[str] = ()
) -> list[Speaker]:
    """Choose speakers by a hash of their names, so that the choice survives new data.

    Only speakers with two clips or more can be compared. A corpus that also has unlabelled clips
    may have the same people among them, so none of its speakers is chosen. At most half of those
    who can be chosen are.

    Args:
        speakers: of every clip.
        count: how many; fewer if there are not so many.
        never: corpora of which nobody is chosen.
    """
    clips = Counter(speakers)
    mixed = {corpus for corpus, speaker in clips if speaker == UNLABELLED} | {*never}
    usable = sorted(
        (each for each, own in clips.items() if own > 1 and each[0] not in mixed), key=_hash
    )
    return usable[: min(count, len(usable) // 2)]


def clips_to_compare(speakers: Sequence[Speaker], held_out: Collection[Speaker]) -> list[int]:
    """The first clips of each speaker who is held out, as indices of ``speakers``."""
    taken: Counter[Speaker] = Counter()
    chosen = []
    for index, speaker in enumerate(speakers):
        if speaker in held_out and taken[speaker] < MOST_CLIPS:
            taken[speaker] += 1
            chosen.append(index)
    return chosen


def _hash(speaker: Speaker) -> str:
    return hashlib.sha256("/".join(speaker).encode()).hexdigest()


def verification_error(embeddings: npt.NDArray[np.float32], speakers: Sequence[Speaker]) -> float:
    """Equal error rate of the cosines of all pairs of clips, 0 to 1, less the embeddings' mean.

    Args:
        embeddings: [C, E].
        speakers: of each clip; at least one has two clips, and there are at least two.
    """
    centre = embeddings - embeddings.mean(axis=0)
    unit = centre / np.linalg.norm(centre, axis=1, keepdims=True).clip(min=1e-9)
    _, index = np.unique(["/".join(each) for each in speakers], return_inverse=True)
    first, second = np.triu_indices(len(index), 1)
    cosines = (unit @ unit.T)[first, second]
    return float(equal_error_rate(cosines, index[first] == index[second]))
