"""Augmentation of waveforms and images: batched, on any device, reproducible from a generator.

Every random number comes from a generator on the CPU, so that all devices draw the same.

Shapes: B batch, N chosen rows of it, S samples of a row, W samples of the window, P pixels of a
side.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torchaudio.functional as audio
from torch import Tensor, nn

from voxedge.nn.window import Window

_SYNTHETIC_ROOMS = 128
_ROOM_SECONDS = 2.0  # that are kept of a synthetic room
_REVERBERATION = (0.15, 4.0)  # seconds, range of their reverberation times: a cupboard to a church
_DIRECT = (-14.0, 12.0)  # dB, range of their direct-to-reverberant ratios
_NOISE_PERIOD = 1 << 14  # samples after which a synthetic noise repeats
_SPECTRUM_POINTS = 8  # frequencies at which the level of a synthetic noise is drawn
_LOUDNESS_POINTS = (5, 40)  # moments at which its loudness is drawn: slow and fast changes
_BABBLE = 1 / 3  # fraction of the noisy clips that get babble; the others get synthetic noise
_RECORDED = 2 / 3  # fraction of the noisy clips that get a recording, where some are given
_TALKERS = 4  # of a babble, on average
_LOWER_EDGES = (0.0, 350.0)  # Hz: range of a channel's lower band edge
_UPPER_EDGES = (3_000.0, 7_500.0)
_TELEPHONE_EDGE = 3_700.0  # Hz: highest upper edge of a telephone, which samples at 8 kHz
_SHORTEST = 0.4  # seconds
_TINY = 1e-10  # power that is not divided by


@dataclass(frozen=True)
class Degradations:
    """Which fraction of the clips is degraded in each way, and by how much."""

    noise: float = 0.0
    snr_low: float = 0.0  # dB
    snr_high: float = 20.0
    rooms: float = 0.0
    channel: float = 0.0
    gain: float = 0.0  # dB, up or down, for all clips
    shorter: float = 0.0


class WaveAugment(nn.Module):
    """Degrade clips: cut them short, add reverberation, channels and noise, change their level.

    - shorter: only the first part of the clip is kept, at least 0.4 s.
    - rooms: convolution with an impulse response: a synthetic one, decaying noise (Polack 1988), or
      for half of those clips, where recordings are given, a recorded one.
    - channel: the edges of the band are lost; half of those clips go through a telephone, whose
      samples are quantised by mu-law (ITU-T G.711).
    - noise: of a random spectrum and loudness, or babble from other clips of the batch; most of the
      clips get a recorded noise where recordings are given.
    - gain: in decibels; samples beyond full scale are clipped.

    Args:
        degradations: fractions of clips and ranges.
        sample_rate: Hz.
        window: brings clips to W samples.
        noises: recordings [S], at least one sample each.
        rooms: impulse responses [S].
    """

    rooms: Tensor
    hertz: Tensor
    levels: Tensor
    slow: Tensor
    fast: Tensor

    def __init__(
        self,
        degradations: Degradations,
        sample_rate: int,
        window: Window,
        noises: Sequence[Tensor] = (),
        rooms: Sequence[Tensor] = (),
    ) -> None:
        super().__init__()
        self.degradations = degradations
        self.window = window
        self.samples = window.samples
        self.shortest = round(_SHORTEST * sample_rate)
        self.noises = [noise - noise.mean() for noise in noises]
        self.recorded = len(rooms)
        responses = [*rooms, *synthetic_rooms(sample_rate, _SYNTHETIC_ROOMS)]
        self.n_fft = _fast_length(self.samples + max(map(len, responses)) - 1)
        spectra = [torch.fft.rfft(_from_direct_path(room), self.n_fft) for room in responses]
        noise_hertz = torch.fft.rfftfreq(_NOISE_PERIOD, 1 / sample_rate)
        times = torch.arange(self.samples).float()
        buffers = {
            "rooms": torch.stack(spectra),
            "hertz": torch.fft.rfftfreq(self.n_fft, 1 / sample_rate),
            "levels": _interpolation_matrix(torch.log(noise_hertz + 30), _SPECTRUM_POINTS),
            "slow": _interpolation_matrix(times, _LOUDNESS_POINTS[0]),
            "fast": _interpolation_matrix(times, _LOUDNESS_POINTS[1]),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, pcm: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        """Samples [B, S] with their valid lengths int64 [B] -> degraded windows [B, W]."""
        draw = _Draw(generator, pcm.device)
        degradations = self.degradations
        window = self.window(pcm, self._shortened(lengths, draw))
        window = self._transmitted(window, draw)
        noisy = draw.rows(degradations.noise, len(window))
        if len(noisy):
            snr = draw.between(degradations.snr_low, degradations.snr_high, len(noisy))
            noise = self._noise(window, noisy, draw)
            window = window.index_put((noisy,), add_noise(window[noisy], noise, snr))
        if gain := degradations.gain:
            window = window * _amplitude(draw.between(-gain, gain, len(window)))
        return window.clamp(-1, 1)

    def only(self, noise: float = 0.0, channel: float = 0.0, rooms: float = 0.0) -> WaveAugment:
        """A copy that degrades these fractions of the clips in these ways and in no other."""
        other = copy.copy(self)
        other.degradations = replace(
            self.degradations, noise=noise, channel=channel, rooms=rooms, gain=0.0, shorter=0.0
        )
        return other

    def _shortened(self, lengths: Tensor, draw: _Draw) -> Tensor:
        chosen = draw.rows(self.degradations.shorter, len(lengths))
        shorter = draw.between(self.shortest, self.samples, len(chosen)).squeeze(1).long()
        return lengths.index_put((chosen,), torch.minimum(lengths[chosen], shorter))

    def _transmitted(self, window: Tensor, draw: _Draw) -> Tensor:
        """Rooms and channels, by one product of spectra; the power stays the same."""
        reverberant = draw.rows(self.degradations.rooms, len(window))
        narrow = draw.rows(self.degradations.channel, len(window))
        rows = torch.unique(torch.cat([reverberant, narrow]))
        if not len(rows):
            return window
        response = torch.ones(len(window), len(self.hertz), dtype=torch.cfloat).to(window.device)
        response[reverberant] = self.rooms[self._some_rooms(len(reverberant), draw)]
        telephones = len(narrow) // 2  # the first of them
        low = draw.between(*_LOWER_EDGES, len(narrow))
        high = draw.between(*_UPPER_EDGES, len(narrow))
        high[:telephones] = draw.between(_UPPER_EDGES[0], _TELEPHONE_EDGE, telephones)
        band = torch.sigmoid((self.hertz - low) / 40) * torch.sigmoid((high - self.hertz) / 100)
        response[narrow] = response[narrow] * band
        before = window[rows]
        spectrum = torch.fft.rfft(before, self.n_fft) * response[rows]
        after = torch.fft.irfft(spectrum, self.n_fft)[:, : self.samples]
        after = after * torch.sqrt(_mean_power(before) / (_mean_power(after) + _TINY))
        window = window.index_put((rows,), after)
        coded = narrow[:telephones]
        codes = audio.mu_law_encoding(window[coded].clamp(-1, 1), 256)
        return window.index_put((coded,), audio.mu_law_decoding(codes, 256))

    def _some_rooms(self, count: int, draw: _Draw) -> Tensor:
        """Indices of rooms: recorded ones, where there are some, as often as synthetic ones."""
        chosen = self.recorded + draw.index(len(self.rooms) - self.recorded, count)
        if self.recorded:
            recorded = draw.rows(1 / 2, count)
            chosen[recorded] = draw.index(self.recorded, len(recorded))
        return chosen

    def _noise(self, window: Tensor, noisy: Tensor, draw: _Draw) -> Tensor:
        """Noise of any level for the rows int64 [N] of a batch [B, W] -> [N, W]."""
        noise = self._synthetic_noise(len(noisy), draw)
        babble = draw.rows(_BABBLE, len(noisy))
        noise = noise.index_put((babble,), self._babble(window, noisy[babble], draw))
        if self.noises:
            recorded = draw.rows(_RECORDED, len(noisy))
            picked = draw.index(len(self.noises), len(recorded)).tolist()
            for row, index in zip(recorded.tolist(), picked, strict=True):
                noise[row] = self._excerpt(self.noises[index], draw)
        return noise

    def _excerpt(self, noise: Tensor, draw: _Draw) -> Tensor:
        start = int(draw.index(len(noise), 1))
        return noise[(start + torch.arange(self.samples)) % len(noise)].to(draw.device)

    def _synthetic_noise(self, count: int, draw: _Draw) -> Tensor:
        """Noise of a random spectrum, which falls towards the highs, and of changing loudness."""
        tilt = draw.between(-10, 50, count) * torch.linspace(0, 1, _SPECTRUM_POINTS).to(draw.device)
        amplitude = _amplitude((9 * draw.normal(count, _SPECTRUM_POINTS) - tilt) @ self.levels)
        phase = 2 * math.pi * draw.uniform(count, amplitude.shape[1])
        period: Tensor = torch.fft.irfft(torch.polar(amplitude, phase), _NOISE_PERIOD)
        noise = period.repeat(1, math.ceil(self.samples / _NOISE_PERIOD))[:, : self.samples]
        for interpolation in (self.slow, self.fast):
            loudness = draw.between(0, 10, count) * draw.normal(count, len(interpolation))
            noise = noise * _amplitude(loudness @ interpolation)
        return noise

    def _babble(self, window: Tensor, chosen: Tensor, draw: _Draw) -> Tensor:
        """A random mix of the other clips of the batch, all rotated by one random shift."""
        batch = len(window)
        shift = int(draw.index(self.samples, 1))
        talkers = torch.roll(window, shift, dims=1) / torch.sqrt(_mean_power(window) + _TINY)
        weights = _amplitude(draw.uniform(len(chosen), batch) * -20)
        talking = draw.uniform(len(chosen), batch) < _TALKERS / batch
        talking[~talking.any(dim=1)] = True
        others = torch.arange(batch, device=draw.device) != chosen[:, None]
        return (weights * talking * others) @ talkers


class _Draw:
    """Random numbers from a generator on the CPU, moved to the device where they are used."""

    def __init__(self, generator: torch.Generator, device: torch.device) -> None:
        self.generator = generator
        self.device = device

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator).to(self.device)

    def between(self, low: float, high: float, count: int) -> Tensor:
        return low + (high - low) * self.uniform(count, 1)

    def index(self, size: int, count: int) -> Tensor:
        return torch.randint(size, (count,), generator=self.generator).to(self.device)

    def rows(self, probability: float, count: int) -> Tensor:
        """Indices of ``count`` rows, each chosen with this probability."""
        return (self.uniform(count) < probability).nonzero().squeeze(1)


def add_noise(speech: Tensor, noise: Tensor, snr: Tensor) -> Tensor:
    """Speech [B, W] plus noise [B, W] at a signal-to-noise ratio [B, 1] in decibels.

    Unlike torchaudio's, silent speech or noise stays finite.
    """
    ratio = _mean_power(speech) / (_mean_power(noise) + _TINY)
    return speech + noise * torch.sqrt(ratio * 10 ** (-snr / 10))


def synthetic_rooms(sample_rate: int, count: int, seed: int = 0) -> list[Tensor]:
    """Impulse responses [S] of random rooms: a direct path, then noise that decays exponentially.

    Such noise models the late part of a diffuse field (Polack 1988). Reverberation times are 0.15
    to 4 s, each octave as often as the next, direct-to-reverberant ratios -14 to 12 dB; high
    frequencies are weaker in the tail.
    """
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(round(_ROOM_SECONDS * sample_rate)) / sample_rate
    rooms = []
    shortest, longest = _REVERBERATION
    for decay, ratio, dull, delay in torch.rand(count, 4, generator=generator).tolist():
        reverberation = shortest * (longest / shortest) ** decay
        tail = torch.randn(len(time), generator=generator) * 10 ** (-3 * time / reverberation)
        taps = torch.exp(-torch.arange(8) * (0.5 + 2.5 * dull))
        tail = audio.convolve(tail, taps)[: len(time)]
        tail[: round((0.001 + 0.009 * delay) * sample_rate)] = 0
        direct = _DIRECT[0] + (_DIRECT[1] - _DIRECT[0]) * ratio
        tail = tail / tail.square().sum().sqrt() * 10 ** (-direct / 20)
        tail[0] = 1
        rooms.append(tail)
    return rooms


def spec_augment(image: Tensor, rows: float, columns: float, generator: torch.Generator) -> Tensor:
    """Mask one band of frequencies and one stretch of time in each image [B, 1, P, P].

    Masks are filled with the image's mean (SpecAugment, Park et al. 2019, without the time warp;
    one mask of each kind).

    Args:
        image: rows are frequencies, columns times.
        rows: widest frequency mask, as a fraction of the side; 0 for none.
        columns: widest time mask.
        generator: on the CPU.
    """
    batch, _, height, width = image.shape
    masked = torch.zeros(batch, 1, height, width, dtype=torch.bool)
    for axis, size, widest in ((2, height, rows), (3, width, columns)):
        if widest:
            shape = [batch, 1, 1, 1]
            extent = torch.randint(0, round(widest * size) + 1, shape, generator=generator)
            start = (torch.rand(shape, generator=generator) * (size - extent + 1)).long()
            position = torch.arange(size).reshape([-1, 1] if axis == 2 else [1, -1])
            masked = masked | ((position >= start) & (position < start + extent))
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    return torch.where(masked.to(image.device), mean, image)


def _amplitude(decibels: Tensor) -> Tensor:
    return torch.exp(decibels * (math.log(10) / 20))


def _mean_power(samples: Tensor) -> Tensor:
    return samples.square().mean(dim=1, keepdim=True)


def _from_direct_path(response: Tensor) -> Tensor:
    """An impulse response without its initial delay, with unit energy: clips keep their timing."""
    response = response[int(response.abs().argmax()) :]
    return response / response.square().sum().sqrt()


def _fast_length(least: int) -> int:
    """The smallest even length, a product of powers of 2, 3 and 5, that an FFT is fast for."""
    found, fives = 1 << (least - 1).bit_length(), 1
    while fives < least:
        odd = fives
        while odd < least:
            found = min(found, odd << max(1, (-(-least // odd) - 1).bit_length()))
            odd *= 3
        fives *= 5
    return found


def _interpolation_matrix(coordinates: Tensor, points: int) -> Tensor:
    """[points, N]: linear interpolation between evenly spread points, at N coordinates."""
    low, high = coordinates.min(), coordinates.max()
    position = (coordinates - low) / (high - low) * (points - 1)
    return (1 - (position - torch.arange(points)[:, None]).abs()).clamp(min=0)
