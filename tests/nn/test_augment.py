from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from tests.conftest import RATE, voice
from voxedge.nn.augment import (
    Degradations,
    FrontendRecipe,
    Playback,
    WaveAugment,
    made_up_rooms,
    mixed,
    spec_augment,
)
from voxedge.nn.frontend import Window
from voxedge.train.build import build_frontend

WINDOW = RATE  # samples


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def speech(count: int = 6) -> torch.Tensor:
    clips = [voice(100 + 25 * i, WINDOW / RATE, i)[:WINDOW] for i in range(count)]
    return torch.from_numpy(np.stack(clips))


def heard(pcm: torch.Tensor, seed: int = 0, **recipe) -> torch.Tensor:
    folders = {name: recipe.pop(name, ()) for name in ("noises_given", "rooms_given")}
    augment = WaveAugment(Degradations(**recipe), RATE, Window(WINDOW, "repeat"), *folders.values())
    return augment(pcm, torch.full((len(pcm),), pcm.shape[1]), random(seed))


def power(samples: torch.Tensor) -> torch.Tensor:
    return samples.square().mean(dim=1)


@pytest.mark.parametrize(
    "recipe",
    [
        {"noise": 1.0},
        {"rooms": 1.0},
        {"channel": 1.0},
        {"gain": 20.0},
        {"shorter": 1.0},
        {"noise": 0.5, "rooms": 0.5, "channel": 0.5, "gain": 10.0, "shorter": 0.5},
    ],
)
def test_each_part_changes_clips_and_the_generator_decides(recipe):
    pcm = speech()
    out = heard(pcm, **recipe)
    assert out.shape == pcm.shape
    assert out.isfinite().all()
    assert out.abs().max() <= 1
    assert (out - pcm).abs().amax(dim=1).gt(1e-4).sum() >= 3
    assert torch.equal(out, heard(pcm, **recipe))
    assert not torch.equal(out, heard(pcm, seed=1, **recipe))


def test_nothing_asked_for_is_nothing_done():
    pcm = speech()
    assert torch.equal(heard(pcm), pcm)


def test_silence_stays_finite():
    recipe = {"noise": 1.0, "rooms": 1.0, "channel": 1.0}
    assert heard(torch.zeros(3, WINDOW), **recipe).isfinite().all()


@pytest.mark.parametrize("decibels", [0.0, 10.0])
def test_noise_is_mixed_at_the_ratio_asked_for(decibels):
    clean, noise = speech(), 7 * torch.randn(6, WINDOW, generator=random())
    added = mixed(clean, noise, torch.full((6, 1), decibels)) - clean
    ratio = 10 * torch.log10(power(clean) / power(added))
    torch.testing.assert_close(ratio, torch.full((6,), decibels), atol=0.01, rtol=0)


def test_given_noise_is_used_for_most_clips_and_kept_within_its_range():
    clean = 0.1 * speech(64)
    hum = torch.sin(2 * torch.pi * 1000 / RATE * torch.arange(5000))
    added = heard(clean, noise=1.0, snr_low=3.0, snr_high=9.0, noises_given=[hum]) - clean
    ratio = 10 * torch.log10(power(clean) / power(added))
    assert ratio.min() > 2.9
    assert ratio.max() < 9.1
    spectrum = torch.fft.rfft(added).abs().square()
    around = slice(round(990 * WINDOW / RATE), round(1010 * WINDOW / RATE))
    hums = spectrum[:, around].sum(dim=1) > 0.9 * spectrum.sum(dim=1)
    assert 0.5 < hums.float().mean() < 0.85


def test_a_given_room_is_convolved_from_its_direct_path_on():
    clean = 0.1 * speech(16)
    room = torch.zeros(900)
    room[100], room[500] = 1.0, 0.5  # an echo 400 samples after the direct path
    out = heard(clean, rooms=1.0, rooms_given=[room])
    expected = clean.clone()
    expected[:, 400:] += 0.5 * clean[:, :-400]
    expected *= torch.sqrt(power(clean) / power(expected))[:, None]
    given = (out - expected).abs().amax(dim=1) < 1e-5  # half of the rooms are made up
    assert 4 <= given.sum() <= 12


def test_made_up_rooms_die_away_within_a_second():
    for room in made_up_rooms(RATE, 20):
        energy = room.square()
        assert room[0] == 1  # the direct path
        assert energy[-RATE // 20 :].mean() < 0.05 * energy[RATE // 100 : RATE // 10].mean()


def test_a_telephone_loses_the_edges_of_the_band():
    noise = 0.1 * torch.randn(8, WINDOW, generator=random())
    spectrum = torch.fft.rfft(heard(noise, channel=1.0)).abs().square()
    top = spectrum[:, round(7_900 * WINDOW / RATE) :].mean(dim=1)
    middle = spectrum[:, round(1_000 * WINDOW / RATE) : round(2_000 * WINDOW / RATE)].mean(dim=1)
    assert (top < 0.1 * middle).all()


def test_where_mu_law_is_used_the_band_ends_below_4_khz():
    noise = 0.1 * torch.randn(8, WINDOW, generator=random())
    spectrum = torch.fft.rfft(heard(noise, channel=1.0)).abs().square()
    places = [round(hertz * WINDOW / RATE) for hertz in (1_000, 2_000, 4_200, 4_800)]
    middle, above = (spectrum[:, a:b].mean(dim=1) for a, b in (places[:2], places[2:]))
    assert (above[:4] < 0.05 * middle[:4]).all()  # what is left is the quantisation
    assert (above[4:] > 0.5 * middle[4:]).any()


def test_noise_alone_leaves_the_rest_of_the_recipe_out():
    recipe = Degradations(noise=0.5, rooms=1.0, channel=1.0, gain=10.0, shorter=1.0)
    whole = WaveAugment(recipe, RATE, Window(WINDOW, "repeat"))
    alone = WaveAugment(Degradations(noise=1.0), RATE, Window(WINDOW, "repeat"))
    arguments = speech(), torch.full((6,), WINDOW)
    noisy = whole.alone(noise=1.0)(*arguments, random())
    assert torch.equal(noisy, alone(*arguments, random()))
    assert whole.recipe == recipe


def test_shorter_pieces_are_repeated():
    pcm = speech(16)
    out = heard(pcm, shorter=1.0)
    changed = [row for row, clip in zip(out, pcm, strict=True) if not torch.equal(row, clip)]
    assert len(changed) > 10
    shortest = round(0.4 * RATE)
    for row in changed:
        repeats = [n for n in range(shortest, WINDOW) if torch.equal(row[n:], row[: WINDOW - n])]
        assert repeats


def played(change: float, samples: np.ndarray, index: int, **recipe) -> torch.Tensor:
    frontend = build_frontend(FrontendRecipe(window_seconds=1.0, image_size=64, **recipe))
    playback = Playback(frontend, change)
    pcm = torch.from_numpy(np.resize(samples, playback.whole.samples))[None]
    return playback(pcm, torch.tensor([index]))


def test_as_recorded_the_image_is_the_front_ends():
    frontend = build_frontend(FrontendRecipe(image_size=64))
    pcm = torch.from_numpy(voice(150, 3.0, 1))[None]
    playback = Playback(frontend, 0.0)
    image = playback(pcm, torch.tensor([0]))
    torch.testing.assert_close(image, frontend.image(pcm), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("index", "speed"), [(1, 0.9), (2, 1.1)])
def test_a_faster_clip_has_the_image_of_a_resampled_one(index, speed):
    samples = voice(150, 1.5, 1)
    image = played(0.1, samples, index, normalise="clip")
    faster = librosa.resample(samples, orig_sr=round(RATE * speed), target_sr=RATE)
    expected = played(0.1, faster, 0, normalise="clip")
    as_recorded = played(0.1, samples, 0, normalise="clip")
    error = (image - expected).abs().mean()
    assert error < 0.15
    assert error < 0.25 * (as_recorded - expected).abs().mean()


def test_spec_augment_blanks_one_band_and_one_stretch():
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
