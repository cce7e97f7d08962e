"""What this machine has for a model file: processor, runtime, providers, threads, and its speed.

Nothing here imports torch or onnx: it runs where ``identify`` runs.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from voxedge.errors import VoxedgeError
from voxedge.inference.identifier import Identifier
from voxedge.inference.session import PROVIDERS, gpu_install, open_session
from voxedge.install import foreign_distribution, foreign_warning, install_command
from voxedge.threads import available_processors

#: Instruction sets that a model's speed hangs on: how Linux writes them, and what they are for.
INSTRUCTIONS = {
    "avx2": "AVX2: float32 and int8, 32 bytes at a time",
    "avx512f": "AVX-512: 64 bytes at a time",
    "avx512_vnni": "AVX-512 VNNI: int8 products in one step",
    "avx_vnni": "AVX-VNNI: int8 products in one step",
    "amx_int8": "AMX: int8 tiles",
    "asimd": "NEON: 16 bytes at a time",
    "asimddp": "NEON dot product: int8 products in one step",
    "i8mm": "NEON int8 matrix products",
}
_SYSCTL = {  # what macOS calls them
    "avx2": "hw.optional.avx2_0",
    "avx512f": "hw.optional.avx512f",
    "asimd": "hw.optional.neon",
    "asimddp": "hw.optional.arm.FEAT_DotProd",
    "i8mm": "hw.optional.arm.FEAT_I8MM",
}

#: The smallest model there is, ``y = Identity(x)``: opset 17, IR 8. Any provider can load it.
_IDENTITY = bytes.fromhex(
    "08083a37"  # IR 8, a graph of 55 bytes
    "0a100a017812017922084964656e74697479"  # node x -> y, Identity
    "120167"  # its name, g
    "5a0f0a0178120a0a08080112040a020801"  # input x: float [1]
    "620f0a0179120a0a08080112040a020801"  # output y: float [1]
    "42040a001011"  # opset 17
)


def examine(model: str | None, seconds: float = 5.0) -> dict[str, Any]:
    """Everything that there is to say, as JSON has it.

    Args:
        model: a model file to measure; None, or one that is not there: no latency.
        seconds: that the measurement may take.
    """
    facts: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "processor": _processor(),
        "processors": available_processors(),
        "instructions": instructions(),
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "foreign": foreign_distribution() or "",
        "runtime": _runtime(),
        "providers": _providers(),
    }
    facts["latency"] = _latency(model, seconds) if model else None
    facts["advice"] = advice(facts)
    return facts


_VARIABLES = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")


def instructions() -> list[str]:
    """The keys of ``INSTRUCTIONS`` that this processor has; none where it cannot be asked."""
    if platform.system() == "Darwin":
        return [name for name, key in _SYSCTL.items() if _output("sysctl", "-n", key) == "1"]
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    found: set[str] = set()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            found |= set(value.split())
    return [name for name in INSTRUCTIONS if name in found]


def advice(facts: dict[str, Any]) -> str:
    """One recommendation, the most useful one."""
    runtime, providers, latency = facts["runtime"], facts["providers"], facts["latency"]
    if facts["foreign"]:
        return foreign_warning(facts["foreign"])
    if "error" in runtime:
        return f"install a runtime: {install_command('cpu')}; for NVIDIA, [gpu] instead of [cpu]"
    broken = [name for name, state in providers.items() if state != "loads"]
    if "cuda" in broken:
        return (
            f"CUDA is installed but does not load ({providers['cuda']}); until then, --device cpu"
        )
    if shutil.which("nvidia-smi") and "cuda" not in providers:
        return f"there is an NVIDIA GPU: {gpu_install()}"
    if latency and "error" in latency:
        return f"the model cannot be measured: {latency['error']}"
    if not latency:
        return "make a model (voxedge export model.onnx), then ask again: its latency is measured"
    best = min(latency["milliseconds"], key=lambda threads: latency["milliseconds"][threads])
    if latency["precision"] == "fp32" and "cuda" not in providers:
        return f"voxedge export --precision int8 is faster on such a processor; --threads {best}"
    return f"--threads {best} is fastest here"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _runtime() -> dict[str, str]:
    try:
        import onnxruntime
    except ImportError as error:
        return {"error": str(error)}
    return {"version": onnxruntime.__version__, "build": onnxruntime.get_build_info()}


def _providers() -> dict[str, str]:
    """By device name: ``loads``, or why not; only those that are built in."""
    try:
        import onnxruntime
    except ImportError:
        return {}
    available = onnxruntime.get_available_providers()
    return {device: _state(device) for device, name in PROVIDERS.items() if name in available}


def _state(device: str) -> str:
    try:
        open_session(_IDENTITY, device, 1)
    except VoxedgeError as error:
        return _missing_library(device) or str(error)
    return "loads"


def _missing_library(device: str) -> str:
    """What the provider's library lacks, in the words of the dynamic linker."""
    import onnxruntime

    folder = Path(onnxruntime.__file__).parent / "capi"
    for path in folder.glob(f"*onnxruntime_providers_{device}.*"):
        try:
            ctypes.CDLL(str(path))
        except OSError as error:
            return str(error)
    return ""


def _latency(model: str, seconds: float) -> dict[str, Any]:
    """Median milliseconds of one window, by threads: one, and all; they take turns."""
    counts = sorted({1, available_processors()})
    try:
        identifiers = {count: Identifier(model, threads=count) for count in counts}
        one = identifiers[counts[0]]
        pcm = np.random.default_rng(0).normal(0, 0.1, (1, one.metadata.window)).astype(np.float32)
        times: dict[int, list[float]] = {count: [] for count in counts}
        for identifier in identifiers.values():
            identifier.run(pcm)  # allocates
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for count, identifier in identifiers.items():
                began = time.perf_counter()
                identifier.run(pcm)
                times[count].append(time.perf_counter() - began)
    except VoxedgeError as error:
        return {"error": str(error)}
    return {
        "model": str(model),
        "precision": one.metadata.precision,
        "provider": one.providers[0],
        "window_seconds": one.metadata.window_seconds,
        "runs": len(times[counts[0]]),
        "milliseconds": {
            count: round(1000 * statistics.median(values), 2) for count, values in times.items()
        },
    }


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
