"""Where training computes, and in which precision."""

from __future__ import annotations

import torch

from voxedge.errors import UsageError


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is a device, else the CPU.

    Raises:
        UsageError: a device that this torch does not know or cannot use.
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
    """Whether to compute the embedding in bfloat16, but for the voice's statistics.

    ``auto`` does so on CUDA, and on a CPU that has instructions for it: on one that has not, it was
    measured to be 15 times slower than float32 (docs/experiments.md).

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
