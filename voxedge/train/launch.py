"""How many processes train, and the group that this one belongs to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from voxedge.errors import UsageError
from voxedge.install import needs_extra
from voxedge.train.device import choose_device
from voxedge.train.process_group import ALONE, FirstProcessEnded, ProcessGroup


def under_torchrun() -> bool:
    """Whether torchrun has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def processes_of(devices: int | None) -> int:
    """How many processes train: one for each of ``--devices``, or those that torchrun started.

    Raises:
        UsageError: both are given.
    """
    if not under_torchrun():
        return devices or 1
    if devices is not None:
        raise UsageError(f"--devices {devices}: torchrun starts the processes", "leave it out")
    return int(os.environ["WORLD_SIZE"])


def choose_kind(name: str, processes: int) -> torch.device:
    """Find the kind of device by name, for several processes that each have one of them.

    CPUs can be shared by any number of processes.

    Raises:
        UsageError: there are fewer GPUs than processes on this machine, or the name is of one of
            them, or of something that is neither a CPU nor a GPU of CUDA.
    """
    if name == "cuda" and torch.cuda.is_available():
        name = "auto"  # which occupies no memory of the first GPU
    device = choose_device(name)
    if device.type not in ("cpu", "cuda") or device != torch.device(device.type):
        raise UsageError(
            f"--device {name} cannot be shared by {processes} processes", "cpu, cuda or auto"
        )
    here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    if device.type == "cuda" and here > (found := torch.cuda.device_count()):
        raise UsageError(f"{here} devices: this machine has {found} GPU{'s' * (found != 1)}")
    return device


@contextmanager
def joined(processes: int, kind: torch.device) -> Iterator[tuple[ProcessGroup, torch.device]]:
    """Join the group of so many processes, and get a device of that kind.

    Where the first process ends by an error, the others leave the context in silence.

    Raises:
        MissingExtra: several processes need Lightning Fabric.
    """
    if processes == 1:
        yield ALONE, kind
        return
    with needs_extra("distributed"):
        from voxedge.train.fabric import FabricGroup
    group = FabricGroup(processes, kind.type, under_torchrun())
    failed = True
    try:
        yield group, group.device
        failed = False
    except FirstProcessEnded:
        pass
    except RuntimeError as error:
        raise group.cause_of(error) from error
    finally:
        group.end(failed)
