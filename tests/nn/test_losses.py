"""The center loss against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from voxedge.nn.losses import ContrastiveCenterLoss, margin_at, with_margin


def worked_example(form: str, **options) -> ContrastiveCenterLoss:
    """Three classes in the plane: centers (0, 0), (3, 0), (0, 4)."""
    loss = ContrastiveCenterLoss(3, 2, form, **options)
    with torch.no_grad():
        loss.centers.copy_(torch.tensor([[0.0, 0], [3, 0], [0, 4]]))
    return loss


# Squared distances to the centers:    0   1   2
#   x1 = (1, 0) of class 0:            1   4  17   own 1, others 21
#   x2 = (3, 2) of class 1:           13   4  13   own 4, others 26
POINTS = torch.tensor([[1.0, 0], [3, 2]])
LABELS = torch.tensor([0, 1])


def test_paper_form_by_hand():
    terms = worked_example("paper")(POINTS, LABELS)
    assert terms.loss.item() == pytest.approx(0.5 * (1 / 22 + 4 / 27))
    assert terms.intra.item() == pytest.approx((1 + 4) / 2)
    assert terms.inter.item() == pytest.approx((21 + 26) / 2 / 2)


def test_seed_form_by_hand():
    terms = worked_example("seed")(POINTS, LABELS)
    assert terms.loss.item() == pytest.approx((1 + 4) / (21 + 26 + 1e-6) / (2 * 2) / 0.1)


def test_split_form_by_hand():
    terms = worked_example("split", intra_weight=2.0, inter_weight=3.0)(POINTS, LABELS)
    expected = 2.0 * 0.5 * (1 + 4) / 2 + 3.0 * (1 / (10.5 + 1) + 1 / (13 + 1)) / 2
    assert terms.loss.item() == pytest.approx(expected)


def test_seed_form_is_negligible_next_to_cross_entropy_as_its_authors_found():
    torch.manual_seed(0)
    loss = ContrastiveCenterLoss(200, 512, "seed")
    value = loss(torch.randn(64, 512).relu(), torch.arange(64)).loss.item()
    assert value < 1e-3


@pytest.mark.parametrize("form", ["paper", "seed", "split"])
def test_centers_learn_where_their_classes_are(form):
    torch.manual_seed(1)
    places = torch.tensor([[2.0, 0], [-2, 1], [0, -2]])
    loss = ContrastiveCenterLoss(3, 2, form)
    optimizer = torch.optim.Adam(loss.parameters(), 0.05)
    labels = torch.arange(3).repeat(20)
    first = last = None
    for _ in range(400):
        points = places[labels] + 0.1 * torch.randn(60, 2)
        terms = loss(points, labels)
        optimizer.zero_grad()
        terms.loss.backward()
        optimizer.step()
        first, last = first or terms, terms
    assert last.loss < first.loss
    assert last.intra < 0.2 * first.intra
    nearest = torch.cdist(places, loss.centers.detach()).argmin(dim=1)
    assert nearest.tolist() == [0, 1, 2]


def test_gradient_is_finite_when_an_embedding_sits_on_its_center():
    loss = worked_example("paper")
    points = torch.tensor([[0.0, 0]], requires_grad=True)
    loss(points, torch.tensor([0])).loss.backward()
    assert torch.isfinite(points.grad).all()
    assert torch.isfinite(loss.centers.grad).all()


def test_the_margin_widens_the_true_angle_alone():
    angles = torch.tensor([[0.3, 1.2, 2.0], [1.0, 3.1, 0.5]])
    widened = with_margin(30 * torch.cos(angles), torch.tensor([1, 2]), 30.0, 0.2)
    expected = torch.tensor([[0.3, 1.4, 2.0], [1.0, 3.1, 0.7]])
    torch.testing.assert_close(widened, 30 * torch.cos(expected))


def test_beyond_a_half_turn_the_margin_still_lowers_the_logit():
    logits = 30 * torch.cos(torch.tensor([[0.1, 3.1]]))
    widened = with_margin(logits, torch.tensor([1]), 30.0, 0.2)
    assert widened[0, 1] < logits[0, 1]
    assert torch.equal(widened[0, 0], logits[0, 0])


def test_the_margin_grows_between_three_and_six_tenths_of_the_training():
    assert [margin_at(0.2, p) for p in (0.0, 0.3, 0.45, 0.6, 1.0)] == pytest.approx(
        [0, 0, 0.1, 0.2, 0.2]
    )


def test_with_unit_length_distances_depend_on_directions_only():
    loss = worked_example("split", unit=True)
    with torch.no_grad():
        loss.centers.copy_(torch.tensor([[5.0, 0], [0, 7], [-3, 0]]))
    near, same = (loss(torch.tensor([[x, 0.0]]), torch.tensor([0])) for x in (0.1, 40.0))
    assert near.intra.item() == pytest.approx(0, abs=1e-6)
    assert near.inter.item() == pytest.approx(3)  # squared: a right angle is 2, opposite is 4
    assert near.loss.item() == pytest.approx(same.loss.item())
