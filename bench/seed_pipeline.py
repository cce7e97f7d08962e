"""The seed system's way to an answer: librosa for the feature, torch for the network.

Written from the description in docs/design.md ("The seed system"), not from
``voxedge.nn.frontend``, so that it is both what a user would run without voxedge and an independent
check of the ``seed`` feature. Features are computed clip by clip, as librosa does; the network gets
them as a batch.

Shapes: B windows, W samples of a window, F frames, K classes.
"""

from __future__ import annotations

import json
import tomllib
from functools import cache
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

N_FFT, HOP, BANDS, SIDE = 512, 160, 40, 224
MEL_RATE = 22_050  # librosa's default: the seed system did not pass its 16 kHz
FLOOR = 1e-9

Samples = npt.NDArray[np.float32]


def feature(clip: Samples) -> npt.NDArray[np.float32]:
    """Samples [W] -> the real part of the normalised complex-log mel spectrum [BANDS, F]."""
    spectrum = librosa.stft(
        librosa.util.normalize(clip), n_fft=N_FFT, hop_length=HOP, window="hann", pad_mode="reflect"
    )
    logarithm = np.log(_bands() @ spectrum + FLOOR)
    largest = np.abs(logarithm).max(axis=0)
    real: npt.NDArray[np.float32] = np.real(logarithm / largest).astype(np.float32)
    return real


@cache
def _bands() -> Samples:
    filters: Samples = librosa.filters.mel(sr=MEL_RATE, n_fft=N_FFT, n_mels=BANDS)
    return filters


def image(clip: Samples) -> Tensor:
    """Samples [W] -> the network's input image [3, SIDE, SIDE]."""
    grey = torch.from_numpy(feature(clip))[None, None]
    resized = F.interpolate(grey, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return resized[0].repeat(3, 1, 1)


class SeedPipeline:
    """The trained seed system: probabilities of windows.

    Args:
        run: folder of a finished run of a seed recipe, for its weights and temperature.
        device: of the network; librosa computes on the CPU.
    """

    def __init__(self, run: Path, device: str = "cpu") -> None:
        labels = json.loads((run / "labels.json").read_text())
        self.temperature = json.loads((run / "metrics.json").read_text())["temperature"]
        frontend = tomllib.loads((run / "recipe.toml").read_text())["frontend"]
        self.sample_rate: int = frontend["sample_rate"]
        self.window = round(frontend["window_seconds"] * self.sample_rate)  # W
        self.device = device
        self.network = _network(run / "best.safetensors", len(labels)).to(device)

    @torch.inference_mode()
    def __call__(self, pcm: Samples, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Samples [B, W] and the valid samples of each row [B] -> probabilities [B, K]."""
        images = [
            image(librosa.util.fix_length(row[:length], size=self.window))
            for row, length in zip(pcm, lengths, strict=True)
        ]
        logits = self.network(torch.stack(images).to(self.device))
        probabilities: npt.NDArray[np.float32] = (
            torch.softmax(logits / self.temperature, dim=1).cpu().numpy()
        )
        return probabilities


def _network(weights: Path, classes: int) -> nn.Module:
    network: nn.Module = torchvision.models.resnet18(weights=None, num_classes=classes)
    names = {"net.trunk.": "", "net.head.": "fc."}  # prefixes, ours -> torchvision's
    state = {
        theirs + key.removeprefix(ours): tensor
        for key, tensor in load_file(weights).items()
        for ours, theirs in names.items()
        if key.startswith(ours)
    }
    network.load_state_dict(state)
    return network.eval()
