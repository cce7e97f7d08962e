"""Calibrations of the model files that voxedge knows, measured by ``python -m bench.gallery``.

Half of 90 speakers: 30 of speechocean762, who read English into phones, and 60 accounts of Common
Voice and SMC. The thresholds were judged on the other half (docs/enroll.md).
"""

from __future__ import annotations

from voxedge.gallery.calibration import Calibration
from voxedge.gallery.people import GalleryModel

_CORPUS = "speechocean762, Common Voice and SMC"

#: By the beginning of ``source`` in the metadata of a folded network: its digest differs from fold
#: to fold.
BY_SOURCE = {
    "CAM++ by 3D-Speaker, iic/speech_campplus_sv_zh_en_16k-common_advanced": Calibration(
        (0.3093, 0.3655, 0.4209, 0.4629, 0.4977, 0.5418), 45, 366, _CORPUS
    ),
}
#: By the digest of a trained model file.
BY_DIGEST = {
    # bench/models/speechocean762-200.int8.onnx
    "27ee1e96291814d4cfd97b70a8878027bbdfb520fc4e6b72dd2abddcf225d055": Calibration(
        (0.3926, 0.4582, 0.5176, 0.5494, 0.5763, 0.6226), 45, 366, _CORPUS
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
