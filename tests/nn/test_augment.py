from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.conftest import RATE, voice
from voxedge.nn.augment import (
    Degradations,
    WaveAugment,
    add_noise,
    spec_augment,
    synthetic_rooms,
)
from voxedge.nn.window import Window

WINDOW = RATE  # samples


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def speech(count: int = 6) -> torch.Tensor:
    clips = [voice(100 + 25 * i, WINDOW / RATE, i)[:WINDOW] for i in range(count)]
    return torch.from_numpy(np.stack(clips))


def augmented(pcm: torch.Tensor, seed: int = 0, **degradations) -> torch.Tensor:
    sounds = [degradations.pop(name, ()) for name in ("recorded_noises", "recorded_rooms")]
    augment = WaveAugment(Degradations(**degradations), RATE, Window(WINDOW, "repeat"), *sounds)
    return augment(pcm, torch.full((len(pcm),), pcm.shape[1]), random(seed))


def power(samples: torch.Tensor) -> torch.Tensor:
    return samples.square().mean(dim=1)


@pytest.mark.parametrize(
    "degradations",
    [
        {"noise": 1.0},
        {"rooms": 1.0},
        {"channel": 1.0},
        {"gain": 20.0},
        {"shorter": 1.0},
        {"noise": 0.5, "rooms": 0.5, "channel": 0.5, "gain": 10.0, "shorter": 0.5},
    ],
)
def test_each_degradation_changes_clips_and_the_generator_decides(degradations):
    pcm = speech()
    out = augmented(pcm, **degradations)
    assert out.shape == pcm.shape
    assert out.isfinite().all()
    assert out.abs().max() <= 1
    assert (out - pcm).abs().amax(dim=1).gt(1e-4).sum() >= 3
    assert torch.equal(out, augmented(pcm, **degradations))
    assert not torch.equal(out, augmented(pcm, seed=1, **degradations))


def test_without_degradations_clips_stay_as_they_are():
    pcm = speech()
    assert torch.equal(augmented(pcm), pcm)


def test_silence_stays_finite():
    degradations = {"noise": 1.0, "rooms": 1.0, "channel": 1.0}
    assert augmented(torch.zeros(3, WINDOW), **degradations).isfinite().all()


@pytest.mark.parametrize("decibels", [0.0, 10.0])
def test_noise_is_added_at_the_given_ratio(decibels):
    clean, noise = speech(), 7 * torch.randn(6, WINDOW, generator=random())
    added = add_noise(clean, noise, torch.full((6, 1), decibels)) - clean
    ratio = 10 * torch.log10(power(clean) / power(added))
    torch.testing.assert_close(ratio, torch.full((6,), decibels), atol=0.01, rtol=0)


def test_recorded_noise_is_used_for_most_clips_and_stays_within_its_range():
    clean = 0.1 * speech(64)
    hum = torch.sin(2 * torch.pi * 1000 / RATE * torch.arange(5000))
    added = augmented(clean, noise=1.0, snr_low=3.0, snr_high=9.0, recorded_noises=[hum]) - clean
    ratio = 10 * torch.log10(power(clean) / power(added))
    assert ratio.min() > 2.9
    assert ratio.max() < 9.1
    spectrum = torch.fft.rfft(added).abs().square()
    around = slice(round(990 * WINDOW / RATE), round(1010 * WINDOW / RATE))
    hums = spectrum[:, around].sum(dim=1) > 0.9 * spectrum.sum(dim=1)
    assert 0.5 < hums.float().mean() < 0.85


def test_a_recorded_room_is_convolved_from_its_direct_path_on():
    clean = 0.1 * speech(16)
    room = torch.zeros(900)
    room[100], room[500] = 1.0, 0.5  # an echo 400 samples after the direct path
    out = augmented(clean, rooms=1.0, recorded_rooms=[room])
    expected = clean.clone()
    expected[:, 400:] += 0.5 * clean[:, :-400]
    expected *= torch.sqrt(power(clean) / power(expected))[:, None]
    recorded = (out - expected).abs().amax(dim=1) < 1e-5  # half of the rooms are synthetic
    assert 4 <= recorded.sum() <= 12


def test_synthetic_rooms_are_of_all_sizes():
    times = []
    for room in synthetic_rooms(RATE, 64):
        energy = room.square()
        assert room[0] == 1  # the direct path
        first, second = (energy[n * RATE // 10 : (n + 1) * RATE // 10].mean() for n in (1, 2))
        times.append(0.6 / float(torch.log10(first / second)))  # seconds until it is 60 dB lower
    assert 0.1 < min(times) < 0.3
    assert 3 < max(times) < 6
    assert 0.5 < float(np.median(times)) < 1.2


def test_a_telephone_loses_the_edges_of_the_band():
    noise = 0.1 * torch.randn(8, WINDOW, generator=random())
    spectrum = torch.fft.rfft(augmented(noise, channel=1.0)).abs().square()
    top = spectrum[:, round(7_900 * WINDOW / RATE) :].mean(dim=1)
    middle = spectrum[:, round(1_000 * WINDOW / RATE) : round(2_000 * WINDOW / RATE)].mean(dim=1)
    assert (top < 0.1 * middle).all()


def test_where_mu_law_is_used_the_band_ends_below_4_khz():
    noise = 0.1 * torch.randn(8, WINDOW, generator=random())
    spectrum = torch.fft.rfft(augmented(noise, channel=1.0)).abs().square()
    places = [round(hertz * WINDOW / RATE) for hertz in (1_000, 2_000, 4_200, 4_800)]
    middle, above = (spectrum[:, a:b].mean(dim=1) for a, b in (places[:2], places[2:]))
    assert (above[:4] < 0.05 * middle[:4]).all()  # only quantisation noise is left
    assert (above[4:] > 0.5 * middle[4:]).any()


def test_only_noise_leaves_the_other_degradations_out():
    degradations = Degradations(noise=0.5, rooms=1.0, channel=1.0, gain=10.0, shorter=1.0)
    every = WaveAugment(degradations, RATE, Window(WINDOW, "repeat"))
    noise = WaveAugment(Degradations(noise=1.0), RATE, Window(WINDOW, "repeat"))
    arguments = speech(), torch.full((6,), WINDOW)
    noisy = every.only(noise=1.0)(*arguments, random())
    assert torch.equal(noisy, noise(*arguments, random()))
    assert every.degradations == degradations


def test_shortened_clips_are_repeated():
    pcm = speech(16)
    out = augmented(pcm, shorter=1.0)
    changed = [row for row, clip in zip(out, pcm, strict=True) if not torch.equal(row, clip)]
    assert len(changed) > 10
    shortest = round(0.4 * RATE)
    for row in changed:
        repeats = [n for n in range(shortest, WINDOW) if torch.equal(row[n:], row[: WINDOW - n])]
        assert repeats


def test_spec_augment_masks_one_band_and_one_stretch():
    image = torch.randn(8, 1, 40, 40, generator=random())
    masked = spec_augment(image, 0.25, 0.3, random(3))
    assert torch.equal(masked, spec_augment(image, 0.25, 0.3, random(3)))
    changed = masked != image
    for one in changed[:, 0]:
        rows, columns = one.all(dim=1).sum(), one.all(dim=0).sum()
        assert rows <= 10
        assert columns <= 12
        assert one.sum() == 40 * rows + 40 * columns - rows * columns
    assert changed.any()
    assert torch.equal(spec_augment(image, 0, 0, torch.Generator()), image)
