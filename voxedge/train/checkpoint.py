"""Checkpoints: all tensors and the rest of the state in one file, written atomically.

``NAME.safetensors`` holds every tensor (weights, centers, optimisers), and in its header the rest
as JSON (position, history, recipe, labels) and a digest of both. ``NAME.json`` repeats the JSON for
people. The format is safetensors and not torch.save, because loading it never runs code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from voxedge.errors import RunError
from voxedge.files import atomic_write, write_json
from voxedge.nn.frontend import SIGNAL_PATH

_KEY = "voxedge"
_DIGEST = "digest"
_RENAMED = {"modesty": "duration_exponent"}  # keys of earlier versions


class CheckpointState(TypedDict, total=False):
    """What a checkpoint holds in addition to its tensors."""

    recipe: dict[str, Any]  # ``Recipe.to_dict``
    labels: list[str]  # the speakers, in class order
    corpus: str  # digest
    position: dict[str, Any]  # the fields of ``state.Position``
    steps: int  # of an epoch
    bf16: bool  # whether it is trained in bfloat16
    threads: int  # that compute on a CPU
    signal_path: int  # version of the front end, see ``SIGNAL_PATH``
    versions: dict[str, str]
    duration_exponent: float  # of ``SpeakerNet``; only in a finished network, as the next one
    cosine_scale: float  # of its head
    trunk: str  # digest of the model file that is the trunk


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file."""

    tensors: dict[str, Tensor]
    state: CheckpointState


def save_checkpoint(path: Path, tensors: dict[str, Tensor], state: CheckpointState) -> None:
    """Write ``path`` (``.safetensors``) and its JSON, atomically.

    Raises:
        OSError: for example, the disk is full; the old files are untouched.
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
    renamed: Any = {_RENAMED.get(key, key): value for key, value in state.items()}
    return Checkpoint(tensors, renamed)


def refuse_other_signal_path(checkpoint: Checkpoint, path: Path) -> None:
    """Refuse weights that were trained on another version's images: their answers would be wrong.

    Raises:
        RunError: the checkpoint is of such a version.
    """
    if checkpoint.state.get("signal_path") != SIGNAL_PATH:
        raise RunError(
            f"{path} was trained by a version of voxedge with another front end",
            "train again, or use the version in the run's metrics.json",
        )


def tensors_digest(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """SHA-256 of ``text`` and of the names and bytes of CPU tensors, sorted by name."""
    content = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        content.update(name.encode())
        content.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()


def module_tensors(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """A module's state; the names begin with ``prefix.``."""
    return {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}


def restore_module(prefix: str, module: nn.Module, checkpoint: Checkpoint) -> None:
    """Load a module's state, all of it.

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
    """An optimiser's state, tensors only: its other values follow from the recipe."""
    return {
        f"{prefix}.{index}.{name}": value
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(
    prefix: str, optimizer: torch.optim.Optimizer, checkpoint: Checkpoint
) -> None:
    """Load an optimiser's state."""
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
            if value.shape == parameter.shape:  # fused optimisers assume the same memory layout
                values[name] = torch.empty_like(parameter).copy_(value)
