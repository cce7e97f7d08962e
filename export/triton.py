"""A model file as a repository of NVIDIA's Triton Inference Server.

The format is that of Triton's documents, "Model Repository" and "Model Configuration"
(https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/). The server's ONNX
Runtime backend takes the file as it is.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from voxedge.errors import UsageError
from voxedge.files import atomic_write
from voxedge.inference.feeds import COUNTS
from voxedge.model_file.metadata import Metadata
from voxedge.model_file.reader import read_model

MAX_BATCH = 64  # clips of one inference
DELAY = 5_000  # microseconds that the first clip of a batch waits for others
_TYPES = {"float32": "TYPE_FP32", "int16": "TYPE_INT16"}


def write_triton(model: Path, repository: Path) -> Path:
    """Write ``repository/NAME/`` for a model file ``NAME.onnx``; returns that folder.

    It holds ``config.pbtxt``, ``1/model.onnx`` and, if the file names speakers, ``labels.txt``, by
    which the server answers with names. What is there already is replaced file by file.

    Raises:
        ModelError: the model file is damaged.
        UsageError: the folder cannot be made.
    """
    metadata = read_model(model).metadata
    folder = repository / model_name(model)
    try:
        (folder / "1").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}") from None
    if metadata.names_speakers:
        with atomic_write(folder / "labels.txt") as file:
            file.write(labels(metadata).encode())
    with atomic_write(folder / "config.pbtxt") as file:
        file.write(config(metadata, folder.name).encode())
    with atomic_write(folder / "1" / "model.onnx") as file, model.open("rb") as source:
        shutil.copyfileobj(source, file)
    return folder


def model_name(model: Path) -> str:
    """The name by which clients ask for a model file: its own, in letters that a URL can hold."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", model.stem)


def labels(metadata: Metadata) -> str:
    """One name a line, in class order; line breaks within names become blanks."""
    return "".join(" ".join(label.split()) + "\n" for label in metadata.labels)


def config(metadata: Metadata, name: str) -> str:
    """The configuration, as the text form of Triton's ``ModelConfig`` message.

    Requests are batched as they come. Those of the padded form share a batch only if they are of
    one length; the ragged form takes any. ``lengths`` is not among the inputs: the backend knows
    no optional ones, and each request is whole.
    """
    ragged = "    allow_ragged_batch: true\n" if metadata.ragged else ""
    outputs = "".join(_output(name, size) for name, size in metadata.outputs.items())
    return f"""\
name: "{name}"
backend: "onnxruntime"
max_batch_size: {MAX_BATCH}
input [
  {{
    name: "pcm"
    data_type: {_TYPES[metadata.dtype]}
    dims: [ -1 ]
{ragged}  }}
]
{_BATCH_INPUT if metadata.ragged else ""}output [
{outputs.removesuffix(f",{chr(10)}")}
]
dynamic_batching {{
  max_queue_delay_microseconds: {DELAY}
}}
"""


_BATCH_INPUT = f"""\
batch_input [
  {{
    kind: BATCH_ELEMENT_COUNT
    target_name: "{COUNTS}"
    data_type: TYPE_INT32
    source_input: "pcm"
  }}
]
"""


def _output(name: str, size: int) -> str:
    names = '    label_filename: "labels.txt"\n' if name == "probabilities" else ""
    return f"""\
  {{
    name: "{name}"
    data_type: TYPE_FP32
    dims: [ {size} ]
{names}  }},
"""
