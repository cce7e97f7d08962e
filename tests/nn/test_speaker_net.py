from __future__ import annotations

import numpy as np
import scipy.fft
import scipy.special
import torch

from voxedge.nn.speaker_net import (
    CosineHead,
    Discriminant,
    ExportedNet,
    VoiceStatistics,
)
from voxedge.train.build import build_net
from voxedge.train.recipe import Recipe
from voxedge.train.recipe_sections import FrontendRecipe, ModelRecipe

TINY = Recipe(
    frontend=FrontendRecipe(image_size=32, window_seconds=0.5), model=ModelRecipe(statistics=False)
)


def test_outputs_have_the_shapes_and_scales_of_the_contract():
    net = ExportedNet(build_net(TINY, 5), temperature=2.0).eval()
    logits, probabilities, embedding = net(torch.randn(3, 9000), torch.tensor([9000, 400, 8000]))
    assert logits.shape == probabilities.shape == (3, 5)
    assert embedding.shape == (3, 512)
    torch.testing.assert_close(probabilities, torch.softmax(logits / 2, dim=1))
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))


def test_the_seed_decides_the_initial_weights():
    one, same = build_net(TINY, 5), build_net(TINY, 5)
    other = build_net(TINY.with_values({"training.seed": 1}), 5)
    assert torch.equal(one.head.weight, same.head.weight)
    assert not torch.equal(one.head.weight, other.head.weight)


def test_a_cosine_head_compares_angles():
    head = CosineHead(16, 5, scale=30.0)
    embedding = torch.randn(4, 16)
    logits = head(embedding)
    expected = torch.cosine_similarity(embedding[:, None], head.weight[None], dim=2)
    torch.testing.assert_close(logits, 30 * expected)
    torch.testing.assert_close(logits, head(7 * embedding))
    assert head(torch.zeros(1, 16)).isfinite().all()


def test_a_cosine_head_can_use_some_dimensions_only():
    head = CosineHead(16, 5, scale=30.0)
    embedding = torch.randn(4, 16)
    expected = torch.cosine_similarity(embedding[:, None, 4:], head.weight[None, :, 4:], dim=2)
    torch.testing.assert_close(head(embedding, slice(4, None)), 30 * expected)


def test_statistics_are_of_cepstral_coefficients_over_time():
    image = torch.randn(2, 1, 40, 40, generator=torch.Generator().manual_seed(1))
    figures = VoiceStatistics(40, 8).figures(image).numpy()
    rows = image[1, 0].numpy()
    loud = np.logaddexp(0, 3 * (rows - 1))
    means, others = [], []
    for seen in (rows, loud):
        cepstrum = scipy.fft.dct(seen, norm="ortho", axis=0)[:30]
        cepstrum[0] *= np.sqrt(2)  # the cosines all have one scale
        means.append(cepstrum.mean(axis=1))
        for moving in (cepstrum, np.diff(cepstrum, axis=1)):
            correlations = np.corrcoef(moving)[np.triu_indices(30, 1)]
            others += [moving.std(axis=1), correlations]
    extrema = [  # soft ones: between the mean and the extremum of each row
        scipy.special.logsumexp(3 * sign * rows, b=1 / 40, axis=1) * sign / 3 for sign in (-1, 1)
    ]
    expected = [*means, *others, *extrema]
    np.testing.assert_allclose(figures[1], np.concatenate(expected), atol=5e-3)


def test_statistics_of_a_still_image_are_finite_and_have_a_slope():
    image = torch.zeros(2, 1, 40, 40, requires_grad=True)
    figures = VoiceStatistics(40, 8).figures(image)
    figures.sum().backward()
    assert figures.isfinite().all()
    assert image.grad.isfinite().all()


def test_statistics_keep_their_digits_where_the_trunk_is_in_bfloat16():
    statistics, image = VoiceStatistics(40, 8), torch.randn(2, 1, 40, 40)
    with torch.autocast("cpu", torch.bfloat16):
        figures = statistics.figures(image)
    torch.testing.assert_close(figures, statistics.figures(image), rtol=0, atol=0)


def test_statistics_are_the_last_part_of_the_embedding():
    recipe = TINY.with_values({"model.statistics": True, "loss.head": "cosine"})
    net = build_net(recipe, 5).eval()
    image = torch.randn(2, 1, 32, 32)
    _, embedding = net.classify(image)
    trunk, statistics = net.parts
    assert embedding.shape == (2, 640)
    assert embedding[:, trunk].shape == (2, 512)
    torch.nn.init.zeros_(net.bypass.linear.weight)
    _, without = net.classify(image)
    assert torch.equal(embedding[:, trunk], without[:, trunk])
    assert not torch.equal(embedding[:, statistics], without[:, statistics])


def test_each_map_of_a_discriminant_has_its_share_for_clips_like_its_own():
    logits, evidence = torch.randn(3, 5), torch.randn(3, 16)
    asked = Discriminant(16, 5, [0.3, 0.6], hears=True)
    quiet, noisy = (
        (1 - share) * logits + share * one(evidence)
        for one, share in zip(asked.maps, (0.3, 0.6), strict=True)
    )
    torch.nn.init.zeros_(asked.clean.weight)
    for log_odds, expected in ((50.0, quiet), (-50.0, noisy), (0.0, (quiet + noisy) / 2)):
        torch.nn.init.constant_(asked.clean.bias, log_odds)
        torch.testing.assert_close(asked(logits, evidence), expected)
    deaf = Discriminant(16, 5, [0.3], hears=False)
    deaf.maps[0] = asked.maps[0]
    torch.testing.assert_close(deaf(logits, evidence), quiet)


def test_the_duration_exponent_shrinks_the_logits_of_short_clips():
    net = build_net(TINY, 5).eval()
    window = net.frontend.window.samples
    pcm = 0.1 * torch.randn(2, window, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([window // 2, window])
    plain, embedding = net(pcm, lengths)
    net.duration_exponent = 0.5
    modest, same = net(pcm, lengths)
    torch.testing.assert_close(modest, plain * torch.tensor([[0.5**0.5], [1.0]]))
    assert torch.equal(embedding, same)
    unsaid = torch.tensor([torch.iinfo(torch.int64).max])  # all of what is given
    torch.testing.assert_close(net(pcm[:1, : window // 2], unsaid)[0], modest[:1])
    torch.testing.assert_close(net(pcm.repeat(1, 2), unsaid)[0], net(pcm, lengths[1:])[0])
