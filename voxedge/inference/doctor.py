"""Examine a machine for running model files: processor, ONNX Runtime, providers, and latency.

Nothing here imports torch or onnx: it runs where ``voxedge identify`` runs.
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
from typing import TypedDict, final

import numpy as np

from voxedge.errors import VoxedgeError
from voxedge.inference.identifier import Identifier
from voxedge.inference.session import PROVIDERS, gpu_install, open_session
from voxedge.install import foreign_distribution, foreign_warning, install_command
from voxedge.threads import available_processors

#: Instruction sets that decide a model's speed: their names in Linux, and what they are for.
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
_SYSCTL = {  # their names in macOS
    "avx2": "hw.optional.avx2_0",
    "avx512f": "hw.optional.avx512f",
    "asimd": "hw.optional.neon",
    "asimddp": "hw.optional.arm.FEAT_DotProd",
    "i8mm": "hw.optional.arm.FEAT_I8MM",
}

#: A minimal model, ``y = Identity(x)`` with opset 17 and IR 8, which every provider can load.
_IDENTITY = bytes.fromhex(
    "08083a37"  # IR 8, a graph of 55 bytes
    "0a100a017812017922084964656e74697479"  # node x -> y, Identity
    "120167"  # its name, g
    "5a0f0a0178120a0a08080112040a020801"  # input x: float [1]
    "620f0a0179120a0a08080112040a020801"  # output y: float [1]
    "42040a001011"  # opset 17
)
_VARIABLES = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")


@final
class Problem(TypedDict):
    """Why something could not be examined."""

    error: str


@final
class Runtime(TypedDict):
    """The ONNX Runtime that is installed."""

    version: str
    build: str


@final
class Latency(TypedDict):
    """How long a model file takes for one window."""

    model: str  # path
    precision: str
    provider: str
    window_seconds: float
    runs: int  # of each number of threads
    milliseconds: dict[int, float]  # threads -> median


class Facts(TypedDict):
    """What ``voxedge doctor --json`` prints."""

    system: str
    processor: str
    processors: int  # that this process may use
    instructions: list[str]  # keys of INSTRUCTIONS
    variables: dict[str, str]  # of the environment, those that matter
    foreign: str  # where another distribution named voxedge is installed, or ""
    runtime: Runtime | Problem
    providers: dict[str, str]  # device -> "loads", or why it does not
    latency: Latency | Problem | None
    advice: str


def examine(model: str | None, seconds: float = 5.0) -> Facts:
    """Examine this machine.

    Args:
        model: a model file whose latency is measured; None: no latency.
        seconds: how long to measure.
    """
    facts: Facts = {
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "processor": _processor(),
        "processors": available_processors(),
        "instructions": instructions(),
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "foreign": foreign_distribution() or "",
        "runtime": _runtime(),
        "providers": _providers(),
        "latency": _latency(model, seconds) if model else None,
        "advice": "",
    }
    facts["advice"] = advice(facts)
    return facts


def instructions() -> list[str]:
    """The keys of ``INSTRUCTIONS`` that this processor has; none where the system does not say."""
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


def advice(facts: Facts) -> str:
    """The most useful recommendation that follows from the facts."""
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
        return "make a model (voxedge export model.onnx) and run this again to measure its latency"
    milliseconds = latency["milliseconds"]
    best = min(milliseconds, key=lambda threads: milliseconds[threads])
    if latency["precision"] == "fp32" and "cuda" not in providers:
        return f"a file of --precision int8 is faster on such a processor; --threads {best}"
    return f"--threads {best} is fastest here"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _runtime() -> Runtime | Problem:
    try:
        from voxedge.inference.runtime import onnxruntime
    except ImportError as error:
        return {"error": str(error)}
    return {"version": onnxruntime.__version__, "build": onnxruntime.get_build_info()}


def _providers() -> dict[str, str]:
    """Each device whose provider is built in: ``loads``, or why it does not."""
    try:
        from voxedge.inference.runtime import onnxruntime
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
    """What the dynamic linker reports when it loads the provider's library."""
    from voxedge.inference.runtime import onnxruntime

    folder = Path(onnxruntime.__file__).parent / "capi"
    for path in folder.glob(f"*onnxruntime_providers_{device}.*"):
        try:
            ctypes.CDLL(str(path))
        except OSError as error:
            return str(error)
    return ""


def _latency(model: str, seconds: float) -> Latency | Problem:
    """Measure one window with one thread and with all, in turns."""
    counts = sorted({1, available_processors()})
    try:
        identifiers = {count: Identifier(model, threads=count) for count in counts}
        one = identifiers[counts[0]]
        pcm = np.random.default_rng(0).normal(0, 0.1, (1, one.metadata.window)).astype(np.float32)
        times: dict[int, list[float]] = {count: [] for count in counts}
        for identifier in identifiers.values():
            identifier.run(pcm)  # the first run allocates
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
