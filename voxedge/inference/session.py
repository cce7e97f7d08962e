"""Open ONNX Runtime sessions on the requested device, and check what was really opened.

ONNX Runtime falls back to the CPU silently when an execution provider does not load, and accepts
any graph that it can parse.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from voxedge.errors import ModelError, ProviderUnavailable, UsageError
from voxedge.inference.feeds import COUNTS
from voxedge.install import install_command
from voxedge.model_file.metadata import Metadata

#: The names of devices, and their execution providers.
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
# By default, all algorithms of each convolution are run and timed for each new size of a batch.
_OPTIONS = {"cuda": {"cudnn_conv_algo_search": "HEURISTIC"}}


def gpu_install() -> str:
    """The commands that replace ONNX Runtime by one with CUDA: the wheels overwrite each other."""
    return f"pip uninstall onnxruntime; {install_command('gpu')}"


def open_session(model: bytes | Path, device: str, threads: int) -> tuple[Any, tuple[str, ...]]:
    """Open an inference session.

    Args:
        model: a file; its bytes take more time and memory, since ONNX Runtime copies them.
        device: a key of ``PROVIDERS``, or ``auto``: CUDA where it loads, else the CPU.
        threads: of one inference on a CPU.

    Returns:
        The ``onnxruntime.InferenceSession``, and notes about it for the user.

    Raises:
        ModelError: ONNX Runtime refuses the model.
        ProviderUnavailable: ONNX Runtime, or a device requested by name, does not load.
        UsageError: an unknown device.
    """
    if device != "auto" and device not in PROVIDERS:
        raise UsageError(f"there is no device {device!r}", f"auto, {', '.join(PROVIDERS)}")
    onnxruntime = _import_onnxruntime()
    wanted = _choose_device(device, onnxruntime.get_available_providers())
    if wanted in _NVIDIA and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # finds cuDNN in the wheels next to it
    try:
        session = _new_session(onnxruntime, model, wanted, threads)
    except Exception as error:  # noqa: BLE001 - a dozen types, for bad models and bad providers
        if wanted == "cpu":
            raise ModelError(f"ONNX Runtime refuses the model: {str(error)[:300]}") from None
        session, _ = open_session(model, "cpu", threads)  # raises if the model is at fault
        cause = f" ({str(error)[:300]})"
    else:
        cause = ""
        if PROVIDERS[wanted] in session.get_providers():
            return session, ()
    if device != "auto":
        raise ProviderUnavailable(
            f"{PROVIDERS[wanted]} is installed but did not load{cause}",
            "check the versions of the driver, CUDA and cuDNN"
            if wanted in _NVIDIA
            else "check its driver and libraries",
        )
    return session, (f"{PROVIDERS[wanted]} did not load{cause}; running on the CPU",)


def _import_onnxruntime() -> Any:  # noqa: ANN401 - the module, which has no types
    try:
        from voxedge.inference.runtime import onnxruntime
    except ImportError as error:
        raise ProviderUnavailable(
            f"ONNX Runtime is not installed: {error}",
            f"{install_command('cpu')}; for NVIDIA, [gpu] instead of [cpu]",
        ) from None
    return onnxruntime


def _choose_device(device: str, available: Sequence[str]) -> str:
    """The device to try: one whose provider was built into this ONNX Runtime."""
    if device == "auto":
        return "cuda" if PROVIDERS["cuda"] in available else "cpu"
    if PROVIDERS[device] not in available:
        raise ProviderUnavailable(
            f"this ONNX Runtime has no {PROVIDERS[device]}; it has {', '.join(available)}",
            gpu_install() if device in _NVIDIA else "",
        )
    return device


def _new_session(onnxruntime: Any, model: bytes | Path, device: str, threads: int) -> Any:  # noqa: ANN401
    """A session without ONNX Runtime's own fallback.

    That prints on stdout, and continues on the CPU silently when a run fails.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Errors are raised all the same; each load would warn about the default of ``lengths``.
    options.log_severity_level = 4
    providers = [
        (PROVIDERS[name], _OPTIONS.get(name, {})) for name in dict.fromkeys((device, "cpu"))
    ]
    return onnxruntime.InferenceSession(
        _path_or_bytes(model), options, providers=providers, enable_fallback=0
    )


def _path_or_bytes(model: bytes | Path) -> bytes | str:
    """The path of a file, or its bytes where ONNX Runtime cannot open it by its name.

    It needs names in UTF-8, and takes files that end in .ort to be of its own format.
    """
    if isinstance(model, bytes):
        return model
    name = str(model)
    is_utf8 = name == name.encode(errors="replace").decode()
    return name if is_utf8 and model.suffix != ".ort" else model.read_bytes()


def check_interface(session: Any, metadata: Metadata) -> None:  # noqa: ANN401
    """Compare the inputs and outputs of a session's graph with the metadata of its file.

    Raises:
        ModelError: they differ.
    """
    try:
        found = [_signature(value) for value in session.get_inputs()]
        optional = [_signature(value) for value in session.get_overridable_initializers()]
        outputs = {
            value.name: list(value.shape)
            for value in session.get_outputs()
            if value.type == "tensor(float)"
        }
    except UnicodeDecodeError:
        raise ModelError("the model's inputs or outputs have names that are not UTF-8") from None
    pcm = f"tensor({_ONNX_TYPES[metadata.dtype]})"
    if metadata.ragged:
        fits = found == [("pcm", pcm, 1), (COUNTS, "tensor(int32)", 1)]
        expected = f"pcm {metadata.dtype} [values] and {COUNTS} int32 [batch]"
    else:
        fits = found == [("pcm", pcm, 2)] and ("lengths", "tensor(int64)", 1) in optional
        expected = f"pcm {metadata.dtype} [batch, samples] and an optional lengths int64 [batch]"
    if not fits:
        raise ModelError(
            f"the model's inputs are not those of a voxedge model: expected {expected},"
            f" found {found} and {optional}"
        )
    for name, size in metadata.outputs.items():
        shape: Sequence[object] = outputs.get(name, [])
        if len(shape) != 2 or shape[1] != size:
            raise ModelError(
                f"the model's output {name} should be float [batch, {size}] by its metadata"
                f" ({len(metadata.labels)} labels), and is {shape or 'missing'}"
            )


def _signature(value: Any) -> tuple[str, str, int]:  # noqa: ANN401 - onnxruntime.NodeArg
    return value.name, value.type, len(value.shape)
