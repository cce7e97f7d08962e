from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from voxedge.nn.losses import ContrastiveCenterLoss
from voxedge.nn.speaker_net import CosineHead
from voxedge.train.objective import Objective
from voxedge.train.recipe_sections import LossRecipe


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 5, generator=generator), torch.tensor([0, 1, 2, 3, 0, 1])


def test_the_classification_loss_is_the_mean_over_the_heads(batch):
    embedding, labels = batch
    heads = [CosineHead(5, 2, 30.0), CosineHead(5, 2, 30.0)]  # of two classes each
    parts = [slice(0, 3), slice(3, 5)]
    recipe = LossRecipe(margin=0.0, center="none")
    losses = Objective(recipe, heads, parts, None)(embedding, labels, progress=0.5)
    logits = [
        torch.cat([head(embedding, *part) for head in heads], dim=1)
        for part in ((), *((part,) for part in parts))
    ]
    wanted = sum(F.cross_entropy(each, labels) for each in logits) / 3
    torch.testing.assert_close(losses.total, wanted)
    assert list(losses.logged) == ["train_loss", "train_top1"]
    top1 = (logits[0].argmax(dim=1) == labels).float().mean()
    assert losses.logged["train_top1"] == top1


@pytest.mark.parametrize(("progress", "weight"), [(0.0, 0.0), (0.25, 1.0), (0.5, 2.0), (1.0, 2.0)])
def test_the_weight_of_the_center_loss_rises(batch, progress, weight):
    embedding, labels = batch
    head, centers = nn.Linear(5, 4), ContrastiveCenterLoss(4, 5)
    recipe = LossRecipe(
        head="linear",
        margin=0.0,
        auxiliary_heads=False,
        refit=False,
        center_weight=2.0,
        center_warm_up=0.5,
    )
    losses = Objective(recipe, [head], [], centers)(embedding, labels, progress)
    terms = centers(embedding, labels)
    classification = F.cross_entropy(head(embedding), labels)
    torch.testing.assert_close(losses.total, classification + weight * terms.loss)
    assert list(losses.logged) == ["train_loss", "center_loss", "intra", "inter", "train_top1"]
    torch.testing.assert_close(losses.logged["train_loss"], classification)
