"""The same model in ORT format, for ONNX Runtime's minimal builds, which cannot read ONNX.

https://onnxruntime.ai/docs/performance/model-optimizations/ort-format-models.html
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from voxedge.files import atomic_write
from voxedge.inference.runtime import onnxruntime


def write_ort(model: Path) -> tuple[Path, Path]:
    """Write ``NAME.ort`` and ``NAME.operators.config`` next to a model file; returns their paths.

    Metadata and answers are those of the model file. The graph is optimised to the extended level:
    the level above it chooses memory layouts for the processor at hand, and the file must run on
    any. The config lists the operators that a minimal build needs
    (``--include_ops_by_config``).
    """
    from onnxruntime.tools.ort_format_model import create_config_from_models

    # This logger, whose level the import sets, reports every file: here a temporary one.
    logging.getLogger("ort_format_model.utils").setLevel(logging.WARNING)
    targets = model.with_suffix(".ort"), model.with_suffix(".operators.config")
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / targets[0].name
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(converted)
        options.add_session_config_entry("session.save_model_format", "ORT")
        # Activations stay uint8, as calibrated.
        options.add_session_config_entry("session.qdqisint8allowed", "0")
        onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        config = Path(folder) / targets[1].name
        create_config_from_models([converted], config, enable_type_reduction=True)
        lines = [line for line in config.read_text().splitlines() if not line.startswith("#")]
        contents = converted.read_bytes(), "\n".join([*lines, ""]).encode()
        for target, content in zip(targets, contents, strict=True):
            with atomic_write(target) as file:
                file.write(content)
    return targets
