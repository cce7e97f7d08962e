"""voxedge: train a speaker identifier on your own recordings, run it anywhere as one ONNX file."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voxedge.audio.load import load_audio
    from voxedge.errors import AudioError, ModelError, VoxedgeError
    from voxedge.gallery.gallery import Gallery
    from voxedge.inference.identifier import Identifier
    from voxedge.inference.prediction import Prediction

__version__ = "0.2.0"
__all__ = [
    "AudioError",
    "Gallery",
    "Identifier",
    "ModelError",
    "Prediction",
    "VoxedgeError",
    "load_audio",
]

_HOMES = {
    "AudioError": "errors",
    "Gallery": "gallery.gallery",
    "Identifier": "inference.identifier",
    "ModelError": "errors",
    "Prediction": "inference.prediction",
    "VoxedgeError": "errors",
    "load_audio": "audio.load",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for: ``import voxedge`` itself costs nothing."""
    if name in _HOMES:
        return getattr(import_module(f"voxedge.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'voxedge' has no attribute {name!r}")
