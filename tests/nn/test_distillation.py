from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from voxedge.nn.distillation import distillation_loss


def test_the_loss_by_hand():
    teacher = torch.tensor([[1.0, 0.0]])
    bank = torch.tensor([[0.0, 1.0]])
    student = torch.tensor([[3.0, 4.0]])  # cosines 0.6 to the target, 0.8 to the bank
    found = distillation_loss(student, teacher, bank, temperature=0.5, weight=2.0)
    wanted = torch.softmax(torch.tensor([1.0, 0.0]) / 0.5, 0).tolist()
    given = torch.softmax(torch.tensor([0.6, 0.8]) / 0.5, 0).tolist()
    divergence = sum(p * math.log(p / q) for p, q in zip(wanted, given, strict=True))
    assert found.cosine.item() == pytest.approx(0.4)
    assert found.similarity.item() == pytest.approx(divergence, rel=1e-5)
    assert found.total.item() == pytest.approx(0.4 + 2 * divergence, rel=1e-5)


def test_the_teacher_itself_has_no_loss_at_any_length():
    teacher = F.normalize(torch.randn(5, 8), dim=1)
    bank = F.normalize(torch.randn(20, 8), dim=1)
    found = distillation_loss(7 * teacher, teacher, bank, 0.07, 0.5)
    assert found.total.item() == pytest.approx(0, abs=1e-5)


def test_without_weight_only_the_cosine_counts():
    student, teacher = torch.randn(3, 4), F.normalize(torch.randn(3, 4), dim=1)
    found = distillation_loss(student, teacher, torch.zeros(0, 4), 0.07, 0.0)
    assert found.total == found.cosine
    assert found.similarity == 0
