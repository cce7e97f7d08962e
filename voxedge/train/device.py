"""Where training computes, and in which precision."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from voxedge.errors import UsageError
from voxedge.train.process_group import ALONE, ProcessGroup


@dataclass(frozen=True)
class Compute:
    """Where and how a training computes."""

    device: torch.device
    bf16: bool  # the embedding in bfloat16; its statistics and the losses stay in float32
    workers: int = 0  # threads that decode clips
    group: ProcessGroup = ALONE  # the processes that train together

    @property
    def precision(self) -> str:
        """bf16 or fp32."""
        return "bf16" if self.bf16 else "fp32"

    @property
    def where(self) -> str:
        """The device, or how many of which kind."""
        size = self.group.size
        return str(self.device) if size == 1 else f"{size} x {self.device.type}"

    def autocast(self) -> torch.autocast:
        """Make a context in which the embedding is computed."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


def choose_device(name: str) -> torch.device:
    """Find a device by name; ``auto`` is CUDA if there is a device, else the CPU.

    Raises:
        UsageError: a device that this PyTorch does not know or cannot use.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"the device {name!r} cannot be trained on: {reason}") from None
    return device


def choose_precision(name: str, device: torch.device) -> bool:
    """Choose bfloat16 (True) or float32 (False) for the embedding, by name.

    ``auto`` is bfloat16 on CUDA and on a CPU that has instructions for it; without them it is 15
    times slower than float32 (docs/decisions.md).

    Raises:
        UsageError: an unknown precision.
    """
    if name not in ("auto", "fp32", "bf16"):
        raise UsageError(f"--precision: auto, fp32 or bf16, not {name!r}")
    if name == "auto":
        if device.type == "cuda":
            return bool(torch.cuda.is_bf16_supported())
        return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
    return name == "bf16"
