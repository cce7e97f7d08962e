"""The base network: it knows voices and nobody's name.

A small ResNet-18 that learned the embeddings of a large network (``voxedge distill``; its card is
``README.md`` beside this file). People are enrolled with it, and training starts from it.
"""

from __future__ import annotations

import os
from pathlib import Path

#: What stands for it where a model file or initial weights are named.
NAME = "base"

_FOLDER = Path(__file__).parent

#: The model file: samples -> embedding, its convolutions in int8.
MODEL = _FOLDER / "embedding.int8.onnx"

#: The checkpoint to train from: float16.
WEIGHTS = _FOLDER / "weights.safetensors"


def model_path(model: str | os.PathLike[str]) -> Path:
    """The file of a model; ``base`` stands for the base network's."""
    return MODEL if model == NAME else Path(model)
