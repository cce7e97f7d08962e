"""THE front end: raw samples -> the image that the trunk looks at. Trained through, and traced.

Everything is a gather, a matrix product, a convolution or element-wise, so that the graph needs no
``STFT`` operator (no CUDA or WebGPU kernel; slower than a matrix product on a CPU) and no
``Resize``, and the device needs no signal processing. See docs/design.md, "The signal path".

Shapes: B batch, S samples given, W samples of the window, T frames, N bins of the spectrum,
M features of a frame (mel bands or linear bins), P pixels of a side.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voxedge.nn.power_spectrum import PowerSpectrum

Feature: TypeAlias = Literal["mel", "linear", "seed"]
Normalise: TypeAlias = Literal["clip", "bins", "minmax", "none"]
Padding: TypeAlias = Literal["repeat", "zero"]

_EXACT = 1 << 21  # samples: half of one, relative to them all, is more than a float32 rounds off
#: Raised whenever the same samples and settings give another image: weights know only their own.
SIGNAL_PATH = 2

_LOG_FLOOR = 1e-6  # of the clip's mean power in a band
_SILENCE = 1e-9  # mean power in a band that is still told from none: some -100 dB of full scale
_SEED_FLOOR = 1e-9  # the seed system's, added to the complex mel spectrum
_SEED_MEL_RATE = 22_050  # the seed system did not pass its 16 kHz to the mel filters
_STD_FLOOR = 0.1  # log power: speech has 1 to 3; far below it there is only rounding to magnify


class Window(nn.Module):
    """Clips of any length -> exactly one window: longer is cut, shorter repeated or zero-padded."""

    positions: Tensor

    def __init__(self, samples: int, padding: Padding) -> None:
        super().__init__()
        self.samples = samples
        self.padding = padding
        self.register_buffer(
            "positions", torch.arange(samples, dtype=torch.int32), persistent=False
        )

    def filled(self, pcm: Tensor, lengths: Tensor) -> Tensor:
        """As ``forward`` -> the share of the window that a clip fills, [B] or [1], at most 1."""
        valid = torch.clamp(lengths, min=1, max=pcm.shape[1])
        return valid.clamp(max=self.samples).float() / self.samples

    def forward(self, pcm: Tensor, lengths: Tensor) -> Tensor:
        """[B, S] float32 and valid samples int64 [B] (or [1], for all rows) -> [B, W]."""
        return self.at(self.positions, pcm, lengths)

    def at(self, positions: Tensor, pcm: Tensor, lengths: Tensor) -> Tensor:
        """What the window holds at Q places of it, int32 [Q] -> [B, Q].

        Written so that only ``pcm`` says what B is: the exported ``lengths`` has a default of
        shape [1], which must broadcast. A remainder would take three times as long as a product.
        """
        batch, samples = pcm.shape
        valid = torch.clamp(lengths, min=1, max=samples).int().unsqueeze(1).expand(batch, 1)
        # how often the clip was repeated until there; its inverse length is a hair too large, so
        # that no rounding makes a whole number of times fall short
        real = torch.float32 if self.samples < _EXACT else torch.float64
        times = (positions.to(real) * ((1 + 0.5 / self.samples) / valid.to(real))).int()
        found = pcm.gather(1, positions - times * valid)
        if self.padding == "zero":
            found = found * (positions < valid)
        return found


class Frontend(nn.Module):
    """Samples -> one normalised log-spectral image a clip.

    Args:
        sample_rate: Hz, of the samples.
        window_seconds: length that every clip is cut or padded to.
        padding: of clips shorter than the window.
        feature: ``mel`` and ``linear`` are log power spectra; ``seed`` is the seed system's
            complex-log mel feature (docs/design.md), faults included.
        n_fft: points of the DFT; a power of two.
        win_length: samples of the periodic Hann window, centred in ``n_fft``.
        hop_length: samples between frames.
        n_mels: mel bands, where the feature has them.
        f_min: Hz, lower edge of the first band.
        f_max: Hz, upper edge of the last band (and of the linear bins).
        normalise: ``clip`` gives the whole image zero mean and unit deviation, which removes gain;
            ``bins`` each band of it over time, which removes the microphone's colour too, and with
            it the speaker's; ``minmax`` scales the image to [0, 1].
        image_size: P.
    """

    taper: Tensor
    basis: Tensor
    bands: Tensor
    seed_floor: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(
        self,
        *,
        sample_rate: int,
        window_seconds: float,
        padding: Padding,
        feature: Feature,
        n_fft: int,
        win_length: int,
        hop_length: int,
        n_mels: int,
        f_min: float,
        f_max: float,
        normalise: Normalise,
        image_size: int,
    ) -> None:
        super().__init__()
        self.feature = feature
        self.normalise = normalise
        self.n_fft = n_fft
        self.hop_length = hop_length
        self._bands = (sample_rate, n_mels, f_min, f_max)
        self.window = Window(round(window_seconds * sample_rate), padding)
        samples = self.window.samples
        self.reflect = n_fft // 2 if feature == "seed" else 0  # librosa centres its frames
        self.frames = 1 + (samples + 2 * self.reflect - n_fft) // hop_length
        bands = self.bands_at(1.0)
        if feature == "seed":
            self.register_buffer("basis", dft_basis(n_fft, win_length), persistent=False)
        else:  # of power, only the bins that a band looks at are computed
            self.register_buffer("taper", hann_window(n_fft, win_length).float(), persistent=False)
            used = bands.any(dim=0).nonzero().flatten()
            self.spectrum = PowerSpectrum(self.frames, n_fft, win_length, hop_length, used)
            bands = bands[:, used]
        if feature == "mel":  # in the order in which the spectrum comes
            arranged = torch.zeros(len(bands), self.spectrum.size)
            bands = arranged.index_copy(1, self.spectrum.places, bands)
        self.register_buffer("bands", bands, persistent=False)  # [M, N]
        # A buffer of more than one value: the exporter drops the addition of a constant below 1e-8.
        floor = torch.full((len(bands), 1), _SEED_FLOOR)
        self.register_buffer("seed_floor", floor, persistent=False)
        antialias = feature != "seed"
        rows = resize_matrix(len(bands), image_size, antialias)
        columns = resize_matrix(self.frames, image_size, antialias).T.contiguous()
        self.register_buffer("rows", rows, persistent=False)  # [P, M]
        self.register_buffer("columns", columns, persistent=False)  # [T, P]

    def forward(self, pcm: Tensor, lengths: Tensor) -> Tensor:
        """Samples [B, S] with their valid lengths [B] -> image [B, 1, P, P]."""
        return self.picture(self.features(pcm, lengths))

    def image(self, window: Tensor) -> Tensor:
        """[B, W] -> image [B, 1, P, P]."""
        return self.forward(window, torch.tensor([window.shape[1]], device=window.device))

    def picture(self, features: Tensor) -> Tensor:
        """Features [B, M, T] -> normalised and resized, [B, 1, P, P]."""
        image = self._normalised(features) @ self.columns
        if features.shape[1] != len(self.rows):
            image = self.rows @ image
        return image.unsqueeze(1)

    def features(self, pcm: Tensor, lengths: Tensor) -> Tensor:
        """Samples [B, S] with their valid lengths [B] -> features [B, M, T]."""
        if self.feature == "seed":
            return self.seed_features(self.window(pcm, lengths))
        power = self.spectrum(self.window.at(self.spectrum.positions, pcm, lengths))
        if self.feature == "mel":
            return self.log_power(self.bands @ power)
        return self.log_power(power.index_select(1, self.spectrum.places))

    def log_power(self, power: Tensor) -> Tensor:
        """Power in bands [B, M, T] -> its logarithm above a floor below the clip's mean power.

        Relative to the clip, so that gain changes nothing. ``log(1 + p / floor)`` is ``log(p +
        floor)`` shifted so that silence is exactly 0: a float32 keeps ten times more of small
        differences there, and no rounding is left to magnify.
        """
        # clamped, since the exporter drops the addition of a constant this small
        floor = power.mean(dim=(1, 2), keepdim=True).clamp(min=_SILENCE) * _LOG_FLOOR
        return torch.log(power * (1 / floor) + 1)

    def bands_at(self, speed: float) -> Tensor:
        """What sums the spectrum of a clip into the bands it has when played at ``speed``, [M, N].

        Every frequency is ``speed`` times as high then.
        """
        sample_rate, n_mels, f_min, f_max = self._bands
        if self.feature == "mel":
            return mel_filters(sample_rate * speed, self.n_fft, n_mels, f_min, f_max)
        if self.feature == "seed":
            return mel_filters(_SEED_MEL_RATE * speed, self.n_fft, n_mels, 0.0, _SEED_MEL_RATE / 2)
        hertz = torch.arange(self.n_fft // 2 + 1) * sample_rate / self.n_fft
        wanted = hertz[(hertz >= f_min) & (hertz <= f_max)]
        nearest = (wanted[:, None] / speed - hertz).abs()
        return (nearest == nearest.min(dim=1, keepdim=True).values).float()

    def seed_features(self, window: Tensor) -> Tensor:
        """[B, W] -> the seed system's feature, [B, M, T].

        The complex mel spectrum's complex log, each frame divided by its largest magnitude, real
        part. Of the phase only its square is needed, so ``atan2``, which ONNX lacks, is not.
        """
        peak = window.abs().amax(dim=1, keepdim=True).clamp(min=1e-12)
        window = F.pad((window / peak).unsqueeze(1), (self.reflect, self.reflect), mode="reflect")
        real, imaginary = self._spectrum(window.squeeze(1))
        real = self.bands @ real + self.seed_floor
        imaginary = self.bands @ imaginary
        log = 0.5 * torch.log((real * real + imaginary * imaginary).clamp(min=1e-37))
        angle = torch.atan(imaginary.abs() / real.abs().clamp(min=1e-37))
        angle = torch.where(real < 0, math.pi - angle, angle)
        magnitude = torch.sqrt(log * log + angle * angle)
        return log / magnitude.amax(dim=1, keepdim=True).clamp(min=1e-12)

    def _spectrum(self, window: Tensor) -> tuple[Tensor, Tensor]:
        spectrum = F.conv1d(window.unsqueeze(1), self.basis, stride=self.hop_length)
        real, imaginary = spectrum.chunk(2, dim=1)
        return real, imaginary

    def _normalised(self, features: Tensor) -> Tensor:
        if self.normalise in ("clip", "bins"):
            over = (1, 2) if self.normalise == "clip" else (2,)
            centred = features - features.mean(dim=over, keepdim=True)
            deviation = torch.sqrt((centred * centred).mean(dim=over, keepdim=True))
            return centred / (deviation + _STD_FLOOR)
        if self.normalise == "minmax":
            low = features.amin(dim=(1, 2), keepdim=True)
            high = features.amax(dim=(1, 2), keepdim=True)
            return (features - low) / (high - low + _STD_FLOOR)
        return features


def dft_basis(n_fft: int, win_length: int) -> Tensor:
    """Windowed DFT as a convolution kernel [2 N, 1, n_fft]: cosines, then negated sines.

    Computed in float64: the angles reach n_fft / 2 turns.
    """
    window = hann_window(n_fft, win_length)
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64).unsqueeze(1)
    turns = (bins * torch.arange(n_fft, dtype=torch.float64)) % n_fft / n_fft
    angles = 2 * math.pi * turns
    return (torch.cat([torch.cos(angles), -torch.sin(angles)]) * window).unsqueeze(1).float()


def hann_window(n_fft: int, win_length: int) -> Tensor:
    """A periodic Hann window of ``win_length`` in the middle of [n_fft], float64."""
    window = torch.hann_window(win_length, periodic=True, dtype=torch.float64)
    left = (n_fft - win_length) // 2
    return F.pad(window, (left, n_fft - win_length - left))


def mel_filters(sample_rate: float, n_fft: int, n_mels: int, f_min: float, f_max: float) -> Tensor:
    """Triangular mel filters of unit area [M, N]: Slaney's scale and norm (Auditory Toolbox, 1998).

    Linear below 1 kHz (200/3 Hz a mel), logarithmic above (27 mels for a factor of 6.4).
    """

    def to_mel(hertz: Tensor) -> Tensor:
        above = 15 + 27 * torch.log(hertz.clamp(min=1e-9) / 1000) / math.log(6.4)
        return torch.where(hertz < 1000, hertz * 3 / 200, above)

    def to_hertz(mel: Tensor) -> Tensor:
        return torch.where(
            mel < 15, mel * 200 / 3, 1000 * torch.exp((mel - 15) / 27 * math.log(6.4))
        )

    low, high = to_mel(torch.tensor([f_min, f_max], dtype=torch.float64)).tolist()
    edges = to_hertz(torch.linspace(low, high, n_mels + 2, dtype=torch.float64))
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).float()


def resize_matrix(size: int, target: int, antialias: bool) -> Tensor:
    """Linear interpolation along one axis as a matrix [target, size] (half-pixel centres).

    With ``antialias`` the triangle widens where the axis shrinks, as in Pillow.
    """
    identity = torch.eye(size).reshape(1, 1, size, size)
    if antialias:
        resized = F.interpolate(
            identity, size=(target, size), mode="bilinear", antialias=True, align_corners=False
        )
    else:
        resized = F.interpolate(identity, size=(target, size), mode="bilinear", align_corners=False)
    return resized.reshape(target, size)
