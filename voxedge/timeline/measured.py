"""From which mean cosine on two groups of windows are of one speaker, for the files voxedge knows.

Chosen by ``python -m bench.timeline choose`` on conversations of other speakers than those that
docs/timeline.md reports.
"""

from __future__ import annotations

from voxedge.model_file.metadata import Metadata

#: By the beginning of ``source`` in the metadata: a folded network.
BY_SOURCE = {"CAM++ by 3D-Speaker, iic/speech_campplus_sv_zh_en_16k-common_advanced": 0.35}
#: Of any other file.
OTHERS = 0.3


def threshold_of(metadata: Metadata) -> float:
    """The threshold for a model file's embeddings."""
    for source, cosine in BY_SOURCE.items():
        if metadata.source.startswith(source):
            return cosine
    return OTHERS
