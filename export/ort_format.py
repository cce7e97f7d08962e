"""The same model for ONNX Runtime's minimal builds, which read no ONNX.

https://onnxruntime.ai/docs/performance/model-optimizations/ort-format-models.html
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import onnxruntime
from onnxruntime.tools.ort_format_model import create_config_from_models

from voxedge.files import atomic_write

# it tells of a temporary file, and its level is its own
logging.getLogger("ort_format_model.utils").setLevel(logging.WARNING)


def write_ort(model: Path) -> tuple[Path, Path]:
    """Write ``NAME.ort`` and ``NAME.operators.config`` beside a model file; their paths.

    The graph is optimised as far as every processor shares (no layout of this one's caches), so
    the file runs anywhere; the list is what a minimal build must be given
    (``--include_ops_by_config``). Metadata and answers are the model file's.
    """
    written = model.with_suffix(".ort"), model.with_suffix(".operators.config")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / written[0].name
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(made)
        options.add_session_config_entry("session.save_model_format", "ORT")
        options.add_session_config_entry("session.qdqisint8allowed", "0")  # uint8, as calibrated
        onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        config = Path(folder) / written[1].name
        create_config_from_models([made], config, enable_type_reduction=True)
        lines = [line for line in config.read_text().splitlines() if not line.startswith("#")]
        contents = made.read_bytes(), "\n".join([*lines, ""]).encode()
        for target, content in zip(written, contents, strict=True):
            with atomic_write(target) as file:
                file.write(content)
    return written
