from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from voxedge.speech.network import CONTEXT, FILE, FRAME, SHAPES, Network, first_state

#: Of the frames of ``glide``, by the authors' silero_vad_16k_sequence.onnx (silero-vad 6.2.3).
# fmt: off
OFFICIAL = [
    0.427, 0.725, 0.907, 0.956, 0.93, 0.851, 0.746, 0.676, 0.901, 0.542, 0.702, 0.573, 0.502,
    0.376, 0.565, 0.675, 0.699, 0.703, 0.782, 0.925, 0.973, 0.989, 0.992, 0.991, 0.869, 0.88,
    0.519, 0.418, 0.369, 0.381, 0.816, 0.872, 0.866, 0.973, 0.982, 0.99, 0.971, 0.92, 0.903,
    0.921, 0.88, 0.875, 0.745, 0.514, 0.308, 0.39, 0.47, 0.486, 0.455, 0.406, 0.733, 0.915,
    0.942, 0.939, 0.95, 0.963, 0.924, 0.861, 0.766, 0.524, 0.261, 0.614,
]
# fmt: on


def glide() -> np.ndarray:
    """Two seconds of a buzz whose pitch and formant rise, with gaps, over hiss; float32."""
    time = np.arange(32_000) / 16_000
    phase = 2 * np.pi * (110 * time + 15 * time**2)
    formant = 500 + 600 * np.sin(2 * np.pi * 1.5 * time) ** 2
    tones = sum(
        np.exp(-(((n * (110 + 30 * time) - formant) / 200) ** 2)) * np.sin(n * phase)
        for n in range(1, 25)
    )
    sound = 0.1 * tones * (np.sin(2 * np.pi * 2 * time) > -0.5)
    return (sound + 0.002 * np.random.default_rng(0).standard_normal(len(time))).astype(np.float32)


def frames_of(samples: np.ndarray) -> np.ndarray:
    padded = np.append(np.zeros(CONTEXT, np.float32), samples)
    return np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + FRAME)[::FRAME]


def by_torch(frames: np.ndarray) -> np.ndarray:
    """The network as its authors define it: convolutions over time and an LSTM cell."""
    stored = np.load(FILE).astype(np.float32)
    ends = np.cumsum([np.prod(shape) for shape in SHAPES.values()])[:-1]
    parts = (torch.from_numpy(part) for part in np.split(stored, ends))
    p = {
        name: part.reshape(shape) for (name, shape), part in zip(SHAPES.items(), parts, strict=True)
    }

    def kernel(name: str, taps: int, before: int = 0, after: int = 0) -> torch.Tensor:
        weights = p[name].reshape(taps, -1, p[name].shape[1]).permute(2, 1, 0)
        return F.pad(weights, (before, after))

    x = F.pad(torch.from_numpy(frames.copy()), (0, 64), mode="reflect")
    window = torch.hann_window(256)
    x = torch.stft(x, 256, 128, window=window, center=False, return_complex=True).abs()
    x = F.relu(F.conv1d(x, kernel("conv1", 3), p["bias1"], padding=1))
    x = F.relu(F.conv1d(x, kernel("conv2", 3), p["bias2"], stride=2, padding=1))
    x = F.relu(F.conv1d(x, kernel("conv3", 2, before=1), p["bias3"], stride=2, padding=1))
    x = F.relu(F.conv1d(x, kernel("conv4", 1, 1, 1), p["bias4"], padding=1))[:, :, 0]
    cell = torch.nn.LSTM(128, 128)
    cell.weight_ih_l0.data, cell.weight_hh_l0.data = p["input"].T, p["hidden"].T
    cell.bias_ih_l0.data, cell.bias_hh_l0.data = p["gates"], torch.zeros(512)
    with torch.no_grad():
        hidden, _ = cell(x)
    return torch.sigmoid(F.relu(hidden) @ p["output"] + p["offset"]).numpy()


def test_the_probabilities_are_those_of_the_authors():
    found, _ = Network.load()(frames_of(glide()), first_state())
    assert found == pytest.approx(OFFICIAL, abs=0.01)
    assert 0.2 < np.mean(np.array(OFFICIAL) > 0.5) < 0.9  # so that they mean something


@pytest.mark.parametrize("level", [1.0, 1e-3, 0.0])
def test_the_network_is_what_torch_computes(level):
    frames = frames_of(np.float32(level) * glide())
    found, _ = Network.load()(frames, first_state())
    assert found == pytest.approx(by_torch(frames), abs=1e-5)


def test_the_state_carries_on():
    network, frames = Network.load(), frames_of(glide())
    whole, last = network(frames, first_state())
    first, state = network(frames[:17], first_state())
    second, state = network(frames[17:], state)
    assert np.append(first, second) == pytest.approx(whole, abs=1e-6)
    assert state.hidden == pytest.approx(last.hidden, abs=1e-6)
    forgotten, _ = network(frames[17:], first_state())
    assert np.abs(forgotten - second).max() > 0.1


def test_parameters_of_another_network_are_refused():
    with pytest.raises(ValueError, match="parameters, not"):
        Network(np.zeros(1_000))
