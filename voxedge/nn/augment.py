"""What makes training hear and see more than there is. On the device, batched, from a generator.

Every draw comes from a generator on the CPU, so that every device draws the same.

Shapes: B batch, S samples given, W samples of a window, M bands, T frames, P pixels of a side.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torchaudio.functional as audio
from torch import Tensor, nn

from voxedge.nn.frontend import Frontend, Window

_ROOMS = 256  # impulse responses made up
_ROOM_SECONDS = 1.0
_NOISE_POINTS = 1 << 14  # samples after which a made-up noise repeats itself
_LEVELS = 8  # frequencies at which the spectrum of a made-up noise is drawn
_BEATS = (5, 40)  # moments at which its loudness is drawn: slow changes and quick ones
_BABBLE = 1 / 3  # of the clips in made-up noise
_RECORDED = 2 / 3  # of the clips in noise, where there are recordings
_TALKERS = 4  # of a babble, on average
_EDGES = ((0.0, 350.0), (3_000.0, 7_500.0))  # Hz: where a channel's edges are drawn from
_TELEPHONE = 3_700.0  # Hz: the upper edge is at most that where mu-law is used, at 8 kHz
_SHORTEST = 0.4  # seconds
_TINY = 1e-10  # power


@dataclass(frozen=True)
class Degradations:
    """How often clips are degraded, and by how much; shares are fractions of the clips."""

    noise: float = 0.0
    snr_low: float = 0.0  # dB
    snr_high: float = 20.0
    rooms: float = 0.0
    channel: float = 0.0
    gain: float = 0.0  # dB, up or down
    shorter: float = 0.0


class WaveAugment(nn.Module):
    """Clips in pieces, in rooms, over telephones, in noise, louder and softer.

    - shorter: only a piece of the clip, 0.4 s or more.
    - rooms: convolved with an impulse response: decaying noise (Polack 1988), and as many times
      one of those given.
    - channel: band edges are lost; half of those clips are telephone, quantised by mu-law (G.711).
    - noise: of a random spectrum and loudness, or the other clips of the batch as babble; where
      recordings are given, these for most of the clips.
    - gain: in decibels; what exceeds full scale is clipped.

    Args:
        degradations: the shares of clips and the ranges.
        sample_rate: Hz.
        whole: brings clips to the W samples that are wanted.
        noises: recordings [S], at least one sample each.
        rooms: impulse responses [S].
    """

    rooms: Tensor
    hertz: Tensor
    levels: Tensor
    slow: Tensor
    quick: Tensor

    def __init__(
        self,
        degradations: Degradations,
        sample_rate: int,
        whole: Window,
        noises: Sequence[Tensor] = (),
        rooms: Sequence[Tensor] = (),
    ) -> None:
        super().__init__()
        self.degradations = degradations
        self.whole = whole
        self.samples = whole.samples
        self.shortest = round(_SHORTEST * sample_rate)
        self.noises = [noise - noise.mean() for noise in noises]
        responses = [*rooms, *made_up_rooms(sample_rate, len(rooms) or _ROOMS)]
        longest = self.samples + max(map(len, responses))
        self.points = 1 << (longest - 2).bit_length()  # of the FFT
        spectra = [torch.fft.rfft(_from_direct(room), self.points) for room in responses]
        bins = torch.fft.rfftfreq(_NOISE_POINTS, 1 / sample_rate)
        moments = torch.arange(self.samples).float()
        buffers = {
            "rooms": torch.stack(spectra),
            "hertz": torch.fft.rfftfreq(self.points, 1 / sample_rate),
            "levels": _interpolation(torch.log(bins + 30), _LEVELS),
            "slow": _interpolation(moments, _BEATS[0]),
            "quick": _interpolation(moments, _BEATS[1]),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, pcm: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        """Samples [B, S] with their valid lengths int64 [B] -> what is heard of them, [B, W]."""
        draw = _Draw(generator, pcm.device)
        degradations = self.degradations
        window = self.whole(pcm, self._shortened(lengths, draw))
        window = self._transmitted(window, draw)
        chosen = draw.some(degradations.noise, len(window))
        if len(chosen):
            snr = draw.between(degradations.snr_low, degradations.snr_high, len(chosen))
            noise = self._noise(window, chosen, draw)
            window = window.index_put((chosen,), mixed(window[chosen], noise, snr))
        if gain := degradations.gain:
            window = window * _ratio(draw.between(-gain, gain, len(window)))
        return window.clamp(-1, 1)

    def alone(self, noise: float = 0.0, channel: float = 0.0, rooms: float = 0.0) -> WaveAugment:
        """The same, but nothing is done to clips, save this to these shares of them."""
        other = copy.copy(self)
        other.degradations = replace(
            self.degradations, noise=noise, channel=channel, rooms=rooms, gain=0.0, shorter=0.0
        )
        return other

    def _shortened(self, lengths: Tensor, draw: _Draw) -> Tensor:
        chosen = draw.some(self.degradations.shorter, len(lengths))
        pieces = draw.between(self.shortest, self.samples, len(chosen)).squeeze(1).long()
        return lengths.index_put((chosen,), torch.minimum(lengths[chosen], pieces))

    def _transmitted(self, window: Tensor, draw: _Draw) -> Tensor:
        """Rooms and channels, in one product of spectra; the power stays the same."""
        roomy = draw.some(self.degradations.rooms, len(window))
        narrow = draw.some(self.degradations.channel, len(window))
        rows = torch.unique(torch.cat([roomy, narrow]))
        if not len(rows):
            return window
        response = torch.ones(len(window), len(self.hertz), dtype=torch.cfloat).to(window.device)
        response[roomy] = self.rooms[draw.index(len(self.rooms), len(roomy))]
        coded = len(narrow) // 2  # the first of them
        low = draw.between(*_EDGES[0], len(narrow))
        high = draw.between(*_EDGES[1], len(narrow))
        high[:coded] = draw.between(_EDGES[1][0], _TELEPHONE, coded)
        band = torch.sigmoid((self.hertz - low) / 40) * torch.sigmoid((high - self.hertz) / 100)
        response[narrow] = response[narrow] * band
        before = window[rows]
        spectrum = torch.fft.rfft(before, self.points) * response[rows]
        after = torch.fft.irfft(spectrum, self.points)[:, : self.samples]
        after = after * torch.sqrt(_power(before) / (_power(after) + _TINY))
        window = window.index_put((rows,), after)
        steps = audio.mu_law_encoding(window[narrow[:coded]].clamp(-1, 1), 256)
        return window.index_put((narrow[:coded],), audio.mu_law_decoding(steps, 256))

    def _noise(self, window: Tensor, chosen: Tensor, draw: _Draw) -> Tensor:
        """Noise of any level for the chosen rows [N] of a batch; [N, W]."""
        noise = self._coloured(len(chosen), draw)
        babble = draw.some(_BABBLE, len(chosen))
        noise = noise.index_put((babble,), self._babble(window, chosen[babble], draw))
        if self.noises:
            recorded = draw.some(_RECORDED, len(chosen))
            picked = draw.index(len(self.noises), len(recorded)).tolist()
            for row, index in zip(recorded.tolist(), picked, strict=True):
                noise[row] = self._piece(self.noises[index], draw)
        return noise

    def _piece(self, noise: Tensor, draw: _Draw) -> Tensor:
        start = int(draw.index(len(noise), 1))
        return noise[(start + torch.arange(self.samples)) % len(noise)].to(draw.device)

    def _coloured(self, count: int, draw: _Draw) -> Tensor:
        tilt = draw.between(-10, 50, count) * torch.linspace(0, 1, _LEVELS).to(draw.device)
        amplitude = _ratio((9 * draw.normal(count, _LEVELS) - tilt) @ self.levels)
        phase = 2 * math.pi * draw.uniform(count, amplitude.shape[1])
        block: Tensor = torch.fft.irfft(torch.polar(amplitude, phase), _NOISE_POINTS)
        noise = block.repeat(1, math.ceil(self.samples / _NOISE_POINTS))[:, : self.samples]
        for moments in (self.slow, self.quick):
            loudness = draw.between(0, 10, count) * draw.normal(count, len(moments))
            noise = noise * _ratio(loudness @ moments)
        return noise

    def _babble(self, window: Tensor, chosen: Tensor, draw: _Draw) -> Tensor:
        """The other clips of the batch, some of them, turned round by one random shift."""
        batch = len(window)
        shift = int(draw.index(self.samples, 1))
        even = torch.roll(window, shift, dims=1) / torch.sqrt(_power(window) + _TINY)
        weights = _ratio(draw.uniform(len(chosen), batch) * -20)
        talking = draw.uniform(len(chosen), batch) < _TALKERS / batch
        talking[~talking.any(dim=1)] = True
        others = torch.arange(batch, device=draw.device) != chosen[:, None]
        return (weights * talking * others) @ even


class Playback(nn.Module):
    """The front end's image of clips that are played slower or faster, pitch and all.

    That is another voice, so the trainer takes it for another speaker (Yamamoto et al. 2019,
    "Speaker augmentation and bandwidth extension for deep speaker embedding"). Nothing is
    resampled: the hop and the frequencies of the bands change instead. The spectrum comes from an
    FFT, the same to rounding as the products that are exported.

    Args:
        frontend: for log-power features.
        change: of the speed; 0 for clips as recorded alone.
    """

    bands: Tensor

    def __init__(self, frontend: Frontend, change: float) -> None:
        super().__init__()
        self.frontend = frontend
        self.speeds = (1.0, 1 - change, 1 + change) if change else (1.0,)
        bands = [frontend.bands_at(speed) for speed in self.speeds]
        self.register_buffer("bands", torch.stack(bands), persistent=False)  # [speeds, M, N]
        self.hops = [round(frontend.hop_length * speed) for speed in self.speeds]
        samples = (frontend.frames - 1) * max(self.hops) + frontend.n_fft
        self.whole = Window(max(samples, frontend.window.samples), frontend.window.padding)

    def forward(self, window: Tensor, speed: Tensor) -> Tensor:
        """What ``whole`` gives, [B, W], and indices of ``speeds`` [B] -> image [B, 1, P, P]."""
        front = self.frontend
        shape = (len(window), self.bands.shape[1], front.frames)
        features = window.new_empty(shape)
        for index, (bands, hop) in enumerate(zip(self.bands, self.hops, strict=True)):
            rows = (speed == index).nonzero().squeeze(1)
            if not len(rows):
                continue  # an FFT of nothing is an error
            spectrum = torch.stft(
                window[rows],
                front.n_fft,
                hop,
                window=front.taper,
                center=False,
                return_complex=True,
            )[:, :, : front.frames]
            features[rows] = front.log_power(bands @ torch.view_as_real(spectrum).square().sum(-1))
        return front.picture(features)


class _Draw:
    """Random numbers from a generator on the CPU, on the device where they are wanted."""

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

    def some(self, share: float, count: int) -> Tensor:
        """Indices of the rows that are chosen, each with the probability ``share``."""
        return (self.uniform(count) < share).nonzero().squeeze(1)


def mixed(speech: Tensor, noise: Tensor, snr: Tensor) -> Tensor:
    """Speech [B, W] in noise [B, W], scaled to the signal-to-noise ratio [B, 1] in decibels."""
    return speech + noise * torch.sqrt(_power(speech) / (_power(noise) + _TINY) * 10 ** (-snr / 10))


def made_up_rooms(sample_rate: int, count: int, seed: int = 0) -> list[Tensor]:
    """Impulse responses of rooms that never were: a direct path, then noise that dies away.

    Exponentially decaying white noise is the late part of a diffuse field (Polack 1988).
    Reverberation times are 0.1 to 0.8 s, direct-to-reverberant ratios -4 to 12 dB; highs die
    sooner.
    """
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(round(_ROOM_SECONDS * sample_rate)) / sample_rate
    rooms = []
    for decay, ratio, dull, delay in torch.rand(count, 4, generator=generator).tolist():
        tail = torch.randn(len(time), generator=generator) * 10 ** (-3 * time / (0.1 + 0.7 * decay))
        taps = torch.exp(-torch.arange(8) * (0.5 + 2.5 * dull))
        tail = audio.convolve(tail, taps)[: len(time)]
        tail[: round((0.001 + 0.009 * delay) * sample_rate)] = 0
        tail = tail / tail.square().sum().sqrt() * 10 ** ((4 - 16 * ratio) / 20)
        tail[0] = 1
        rooms.append(tail)
    return rooms


def spec_augment(image: Tensor, rows: float, columns: float, generator: torch.Generator) -> Tensor:
    """Blank one band of frequencies and one stretch of time in each image [B, 1, P, P].

    Masks are filled with the image's mean (SpecAugment, Park et al. 2019, without the time warp;
    one mask of each kind).

    Args:
        image: see above.
        rows: widest frequency mask, as a fraction of the side; 0 for none.
        columns: widest time mask.
        generator: on the CPU.
    """
    batch, _, height, width = image.shape
    blank = torch.zeros(batch, 1, height, width, dtype=torch.bool)
    for axis, size, share in ((2, height, rows), (3, width, columns)):
        if share:
            shape = [batch, 1, 1, 1]
            extent = torch.randint(0, round(share * size) + 1, shape, generator=generator)
            start = (torch.rand(shape, generator=generator) * (size - extent + 1)).long()
            position = torch.arange(size).reshape([-1, 1] if axis == 2 else [1, -1])
            blank = blank | ((position >= start) & (position < start + extent))
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    return torch.where(blank.to(image.device), mean, image)


def _ratio(decibels: Tensor) -> Tensor:
    return torch.exp(decibels * (math.log(10) / 20))


def _power(samples: Tensor) -> Tensor:
    return samples.square().mean(dim=1, keepdim=True)


def _from_direct(response: Tensor) -> Tensor:
    """An impulse response from its direct path on, with unit energy: clips keep their place."""
    response = response[int(response.abs().argmax()) :]
    return response / response.square().sum().sqrt()


def _interpolation(places: Tensor, points: int) -> Tensor:
    """[points, N]: values at evenly spread points -> linearly between them, at N ``places``."""
    low, high = places.min(), places.max()
    position = (places - low) / (high - low) * (points - 1)
    return (1 - (position - torch.arange(points)[:, None]).abs()).clamp(min=0)
