"""Calibrations of the model files that voxedge knows, measured by ``python -m bench.gallery``.

Half of 90 speakers: 30 of speechocean762, who read English into phones, and 60 accounts of Common
Voice and SMC, each compared with its own kind. The thresholds were judged on the other half
(docs/enroll.md).
"""

from __future__ import annotations

from voxedge.gallery.calibration import Calibration, LogOdds
from voxedge.gallery.people import GalleryModel

_CORPUS = "speechocean762, Common Voice and SMC"

#: By the beginning of ``source`` in the metadata of a folded network: its digest differs from fold
#: to fold.
BY_SOURCE = {
    "CAM++ by 3D-Speaker, iic/speech_campplus_sv_zh_en_16k-common_advanced": Calibration(
        (0.3641, 0.4084, 0.4619, 0.4972, 0.5305), 45, 366, _CORPUS, LogOdds(20.15, -9.42)
    ),
}
#: By the digest of a model file.
BY_DIGEST = {
    # voxedge/base/embedding.int8.onnx; accounts that it was not distilled on
    "04ed221e4568f374f5b2038668a38f8e24acf3d56e3bfc408f53a4dbb92fd7b7": Calibration(
        (0.3935, 0.4805, 0.5619, 0.6164, 0.6636), 44, 308, _CORPUS, LogOdds(16.13, -7.637)
    ),
    # bench/models/speechocean762-200.int8.onnx
    "27ee1e96291814d4cfd97b70a8878027bbdfb520fc4e6b72dd2abddcf225d055": Calibration(
        (0.4558, 0.504, 0.5482, 0.5761, 0.6098), 45, 366, _CORPUS, LogOdds(14.07, -6.265)
    ),
}


def calibration_of(model: GalleryModel) -> Calibration | None:
    """What was measured for a model file, if it is known."""
    if model.digest in BY_DIGEST:
        return BY_DIGEST[model.digest]
    for source, calibration in BY_SOURCE.items():
        if model.source.startswith(source):
            return calibration
    return None
