"""Checkpoints: the whole loop, readable, and never half written.

``NAME.safetensors`` holds every tensor (weights, centers, optimiser), and in its header, so that
the two cannot fall apart, the rest as JSON: position, history, recipe, labels, and a digest of all
of it. ``NAME.json`` repeats that for people. safetensors rather than torch.save: loading never
runs code from the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from voxedge.errors import RunError
from voxedge.files import atomic_write, write_json
from voxedge.nn.frontend import SIGNAL_PATH

_KEY = "voxedge"
_DIGEST = "digest"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write ``path`` (``.safetensors``) and the JSON beside it; the old ones stay until then.

    Raises:
        OSError: the disk is full, for one; the old files are untouched.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(state)
    content = save(plain, metadata={_KEY: text, _DIGEST: tensors_digest(plain, text)})
    with atomic_write(path) as file:
        file.write(content)
    write_json(path.with_suffix(".json"), state)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        RunError: it is missing, damaged, or not one of ours.
    """
    if not path.is_file():
        raise RunError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state = json.loads(metadata[_KEY])
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise RunError(f"{path} is not a voxedge checkpoint, or is damaged: {error}") from None
    if metadata.get(_DIGEST) != tensors_digest(tensors, metadata[_KEY]):
        raise RunError(f"{path} is damaged: its content does not match its digest")
    return Checkpoint(tensors, state)


def refuse_other_signal_path(checkpoint: Checkpoint, path: Path) -> None:
    """Weights that another version's front end has fed would answer nonsense, and not say so.

    Raises:
        RunError: the checkpoint is of such a version.
    """
    if checkpoint.state.get("signal_path") != SIGNAL_PATH:
        raise RunError(
            f"{path} was trained by a version of voxedge whose images were others",
            "train anew, or use the version in the run's metrics.json",
        )


def tensors_digest(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """SHA-256 over ``text``, and names and bytes of CPU tensors in the order of their names."""
    content = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        content.update(name.encode())
        content.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()


def module_tensors(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """A module's state under names that begin with ``prefix.``."""
    return {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}


def restore_module(prefix: str, module: nn.Module, checkpoint: Checkpoint) -> None:
    """Put a module's state back, every entry of it.

    Raises:
        RunError: the checkpoint is of another architecture.
    """
    start = f"{prefix}."
    own = {k.removeprefix(start): v for k, v in checkpoint.tensors.items() if k.startswith(start)}
    try:
        module.load_state_dict(own)
    except RuntimeError as error:
        detail = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise RunError(f"the checkpoint is of another architecture: {detail[:200]}") from None


def optimizer_tensors(prefix: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state, tensors only; rates and the like follow from the recipe."""
    return {
        f"{prefix}.{index}.{name}": value
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(
    prefix: str, optimizer: torch.optim.Optimizer, checkpoint: Checkpoint
) -> None:
    """Put an optimiser's state back."""
    start = f"{prefix}."
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in checkpoint.tensors.items():
        if key.startswith(start):
            index, name = key.removeprefix(start).split(".", 1)
            state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if value.shape == parameter.shape:  # fused steps take it for laid out alike
                values[name] = torch.empty_like(parameter).copy_(value)
