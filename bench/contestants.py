"""Who is compared: ways from the same windows to probabilities, called the same way.

Shapes: B windows, W samples of a window, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from bench.prepare import Lengths, Material
from bench.seed_pipeline import SeedPipeline
from voxedge.errors import ProviderUnavailable
from voxedge.limits import Samples
from voxedge.nn.speaker_net import ExportedNet
from voxedge.parallel import available_processors
from voxedge.runtime import Identifier
from voxedge.train.build import load_net
from voxedge.train.run import Run

Probabilities: TypeAlias = npt.NDArray[np.float32]
Answer: TypeAlias = Callable[[Samples, Lengths], Probabilities]  # [B, W], [B] -> [B, K]

OURS, EAGER, SEED, SEED_EXPORTED = "onnxruntime", "eager", "seed", "seed_exported"
SEED_EAGER = "seed_eager"  # the seed network behind our front end; compared, not timed


def contestants(material: Material, device: str) -> dict[str, Answer]:
    """All that run on a device, with as many threads each; ratios are to the first."""
    torch.set_num_threads(available_processors())
    answers = {OURS: onnx_runtime(material.model, device)}
    if material.seed_model:
        answers[SEED_EXPORTED] = onnx_runtime(material.seed_model, device)
    if device == "cpu" or torch.cuda.is_available():
        answers[EAGER] = eager(material.run, device)
        answers[SEED] = SeedPipeline(material.seed_run.folder, device)
    return answers


def onnx_runtime(model: Path, device: str) -> Answer:
    """The exported file, as ``Identifier`` runs it."""
    identifier = Identifier(model, device=device, threads=available_processors())

    def answer(pcm: Samples, lengths: Lengths) -> Probabilities:
        return identifier.run(pcm, lengths).probabilities

    return answer


def eager(run: Run, device: str) -> Answer:
    """The network as it was trained, in PyTorch."""
    net = ExportedNet(load_net(run), run.metrics()["temperature"])
    net.eval().to(device)

    @torch.inference_mode()
    def answer(pcm: Samples, lengths: Lengths) -> Probabilities:
        _, probabilities, _ = net(
            torch.from_numpy(pcm).to(device), torch.from_numpy(lengths).to(device)
        )
        array: Probabilities = probabilities.cpu().numpy()
        return array

    return answer


def why_no_cuda(model: Path) -> str | None:
    """What keeps ONNX Runtime from the GPU; None where it loads."""
    try:
        Identifier(model, device="cuda")
    except ProviderUnavailable as error:
        return str(error)
    return None
