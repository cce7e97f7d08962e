"""ONNX Runtime sessions on the device that was asked for, read back after they are made.

ONNX Runtime falls back to the CPU without a word when a provider does not load, and takes any graph
that it can parse.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from voxedge.errors import ModelError, ProviderUnavailable, UsageError
from voxedge.install import install_command
from voxedge.model_file.metadata import Metadata

#: What ``device`` may be, and the execution provider behind it.
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
}
_ONNX_TYPES = {"float32": "float", "int16": "int16"}
_NVIDIA = {"cuda", "tensorrt"}
# the default searches every convolution anew for each size of a batch, by running all there are
_OPTIONS = {"cuda": {"cudnn_conv_algo_search": "HEURISTIC"}}


def gpu_install() -> str:
    """How to come to an ONNX Runtime with CUDA: the two wheels overwrite each other."""
    return f"pip uninstall onnxruntime; {install_command('gpu')}"


def open_session(model: bytes | Path, device: str, threads: int) -> tuple[Any, tuple[str, ...]]:
    """An inference session, and what there is to say about how it came up.

    A file takes less time and memory than its bytes, which ONNX Runtime copies.

    Raises:
        ModelError: ONNX Runtime refuses the model.
        ProviderUnavailable: no ONNX Runtime, or a device asked for by name did not load.
        UsageError: an unknown device.
    """
    if device != "auto" and device not in PROVIDERS:
        raise UsageError(f"there is no device {device!r}", f"auto, {', '.join(PROVIDERS)}")
    try:
        import onnxruntime
    except ImportError as error:
        raise ProviderUnavailable(
            f"ONNX Runtime is not installed: {error}",
            f"{install_command('cpu')}; for NVIDIA, [gpu] instead of [cpu]",
        ) from None
    available = onnxruntime.get_available_providers()
    wanted = device
    if device == "auto":
        wanted = "cuda" if PROVIDERS["cuda"] in available else "cpu"
    elif PROVIDERS[device] not in available:
        raise ProviderUnavailable(
            f"this ONNX Runtime has no {PROVIDERS[device]}; it has {', '.join(available)}",
            gpu_install() if device in _NVIDIA else "",
        )
    if wanted in _NVIDIA and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # finds cuDNN in the wheels beside it
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors come as exceptions; warnings, for lengths, at each load
    try:
        session = _made(onnxruntime, model, options, wanted)
    except Exception as error:  # noqa: BLE001 - it raises a dozen types, for bad models and providers
        if wanted == "cpu":
            raise ModelError(f"ONNX Runtime refuses the model: {str(error)[:300]}") from None
        session, _ = open_session(model, "cpu", threads)  # raises if the file is at fault
        cause = f" ({str(error)[:300]})"
    else:
        cause = ""
        if PROVIDERS[wanted] in session.get_providers():
            return session, ()
    if device != "auto":
        raise ProviderUnavailable(
            f"{PROVIDERS[wanted]} is installed but did not load{cause}",
            "driver, CUDA and cuDNN versions?",
        )
    return session, (f"{PROVIDERS[wanted]} did not load{cause}; running on the CPU",)


def _made(onnxruntime: Any, model: bytes | Path, options: Any, device: str) -> Any:  # noqa: ANN401
    """A session without ONNX Runtime's own fallback.

    That would print on stdout, and go on on the CPU without a word if a run fails.
    """
    providers = [
        (PROVIDERS[name], _OPTIONS.get(name, {})) for name in dict.fromkeys((device, "cpu"))
    ]
    return onnxruntime.InferenceSession(
        _given(model), options, providers=providers, enable_fallback=0
    )


def _given(model: bytes | Path) -> bytes | str:
    """What ONNX Runtime is handed: it opens names in UTF-8, and .ort only in its own format."""
    if isinstance(model, bytes):
        return model
    name = str(model)
    unfit = model.suffix == ".ort" or name != name.encode(errors="replace").decode()
    return model.read_bytes() if unfit else name


def check_interface(session: Any, metadata: Metadata) -> None:  # noqa: ANN401
    """Hold the graph's inputs and outputs against the contract and the metadata."""
    found = [_signature(value) for value in session.get_inputs()]
    optional = [_signature(value) for value in session.get_overridable_initializers()]
    expected = [("pcm", f"tensor({_ONNX_TYPES[metadata.dtype]})", 2)]
    if found != expected or ("lengths", "tensor(int64)", 1) not in optional:
        raise ModelError(
            f"the model's inputs are not ours: expected pcm {metadata.dtype} [batch, samples] and"
            f" an optional lengths int64 [batch], found {found} and {optional}"
        )
    outputs = {
        value.name: list(value.shape)
        for value in session.get_outputs()
        if value.type == "tensor(float)"
    }
    classes, width = len(metadata.labels), metadata.embedding_dim
    for name, size in (("logits", classes), ("probabilities", classes), ("embedding", width)):
        shape: Sequence[object] = outputs.get(name, [])
        if len(shape) != 2 or shape[1] != size:
            raise ModelError(
                f"the model's output {name} should be float [batch, {size}] by its metadata"
                f" ({classes} labels), and is {shape or 'missing'}"
            )


def _signature(value: Any) -> tuple[str, str, int]:  # noqa: ANN401 - onnxruntime.NodeArg
    return value.name, value.type, len(value.shape)
