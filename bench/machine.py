"""What must be known of the machine for a timing to mean anything.

Everything is read from the system; what a system does not report is left empty, not guessed.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import psutil

from bench.results import Machine
from voxedge.install import DISTRIBUTION
from voxedge.threads import available_processors

#: Instruction sets that decide which matrix kernels run, x86-64 and Arm, as Linux names them.
INSTRUCTIONS = (
    *("avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16"),
    *("amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "bf16", "sve", "sme"),
)
PACKAGES = (
    *(DISTRIBUTION, "torch", "torchvision", "onnxruntime", "onnxruntime-gpu", "numpy", "librosa"),
    *("openvino", "speechbrain", "Resemblyzer", "kaldi-native-fbank"),
)


def describe_machine(packages: Iterable[str] = PACKAGES) -> Machine:
    """Processor, memory, system and versions."""
    facts = _cpuinfo()
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    return {
        "processor": facts.get("model name") or _darwin_name() or platform.processor(),
        "architecture": platform.machine(),
        "cores": available_processors(),
        "instructions": [name for name in INSTRUCTIONS if name in flags],
        "memory_bytes": psutil.virtual_memory().total,
        "gpu": _gpu(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: v for name in packages if (v := _version(name))},
    }


class OtherPrograms:
    """The processor time that other programs take from now on, other guests of the host too."""

    def __init__(self) -> None:
        self._start = _used()

    def percent(self) -> float:
        """Their share of all processors, on average since the beginning."""
        start, now = self._start, _used()
        machine, own, seconds = (b - a for a, b in zip(start, now, strict=True))
        return 100 * max(0.0, machine - own) / (seconds * (psutil.cpu_count() or 1))


def _used() -> tuple[float, float, float]:
    """Processor seconds of the machine, of this process and those it waited for, and the clock."""
    times = psutil.cpu_times()
    machine = sum(times) - times.idle - getattr(times, "iowait", 0.0)
    machine -= getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # counted in user
    own = psutil.Process().cpu_times()
    mine = own.user + own.system + own.children_user + own.children_system
    return machine, mine, time.monotonic()


def _cpuinfo() -> dict[str, str]:
    """Linux's description of the first processor."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def _darwin_name() -> str:
    return (
        _first_line("sysctl", "-n", "machdep.cpu.brand_string")
        if platform.system() == "Darwin"
        else ""
    )


def _gpu() -> str:
    return _first_line("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")


def _first_line(*command: str) -> str:
    """The first line that a program prints; empty without the program."""
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0].strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
