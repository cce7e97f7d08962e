"""Which speakers a student is not trained on, and how well it tells them apart.

Shapes: C clips, E embedding.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from voxedge.metrics import equal_error_rate

#: A folder of clips of nobody in particular: its clips are trained on, and never compared.
UNLABELLED = "unlabelled"


def choose_held_out(speakers: Iterable[tuple[str, str]], count: int) -> set[tuple[str, str]]:
    """Choose speakers by a hash of their names, so that the choice survives new data.

    Only speakers with two clips or more can be compared. A corpus that also has unlabelled clips
    may have the same people among them, so none of its speakers is chosen.

    Args:
        speakers: (corpus, speaker) of every clip.
        count: how many; fewer if there are not so many.
    """
    clips = Counter(speakers)
    mixed = {corpus for corpus, speaker in clips if speaker == UNLABELLED}
    usable = (each for each, own in clips.items() if own > 1 and each[0] not in mixed)
    return set(sorted(usable, key=_hash)[:count])


def _hash(speaker: tuple[str, str]) -> str:
    return hashlib.sha256("/".join(speaker).encode()).hexdigest()


def verification_error(embeddings: npt.NDArray[np.float32], speakers: Sequence[object]) -> float:
    """Equal error rate of the cosines of all pairs of clips, 0 to 1.

    Args:
        embeddings: [C, E], unit length.
        speakers: of each clip; at least one has two clips, and there are at least two.
    """
    _, index = np.unique([str(each) for each in speakers], return_inverse=True)
    first, second = np.triu_indices(len(index), 1)
    cosines = (embeddings @ embeddings.T)[first, second]
    return float(equal_error_rate(cosines, index[first] == index[second]))
