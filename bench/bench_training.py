"""Training clips a second, compared with the seed's trainer, as people write one first.

One step on a batch of images: forward, backward, optimiser. Decoding and features are left out, so
that only what both have to do is compared; what our loop does to the clips before has its own row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

from bench.alternate import alternate, timed
from voxedge.nn.losses import ContrastiveCenterLoss
from voxedge.nn.speaker_net import SpeakerNet
from voxedge.threads import available_processors
from voxedge.train.build import build_net
from voxedge.train.optimizers import build_average, build_optimizer
from voxedge.train.recipe import load
from voxedge.train.training_input import TrainingInput

CLASSES = 200
BATCH = 32
SIZES = (80, 112, 224)  # pixels
TURNS = 3  # at most: a turn at 224 pixels takes 20 seconds
OURS, SEED_TRAINER, AUGMENTATION = "ours", "seed_trainer", "augmentation"
TITLES = {
    OURS: "voxedge",
    SEED_TRAINER: "the seed's trainer",
    AUGMENTATION: "augmentation and features alone",
}


@pytest.mark.parametrize("pixels", SIZES)
def test_training(benchmark, pixels, rounds):
    torch.set_num_threads(available_processors())
    torch.manual_seed(0)
    image, labels = torch.randn(BATCH, 1, pixels, pixels), torch.arange(BATCH)
    trials = {
        OURS: timed(partial(our_step(pixels)[1], image, labels)),
        SEED_TRAINER: timed(partial(seed_step(), image, labels)),
        AUGMENTATION: timed(augmentation(pixels)),
    }
    timings = alternate(benchmark, trials, min(rounds, TURNS))
    benchmark.extra_info.update(
        suite="training", device="cpu", pixels=pixels, batch=BATCH, figures=timings
    )


def our_step(pixels: int) -> tuple[SpeakerNet, Callable[[Tensor, Tensor], None]]:
    """The default recipe's network, and the training loop's step of it on images [B, 1, P, P]."""
    recipe = load("default").with_values({"frontend.image_size": pixels})
    net = build_net(recipe, CLASSES)
    net.trunk.to(memory_format=torch.channels_last)
    average = build_average(net, recipe.training.average)
    optimizer = build_optimizer(recipe.optimizer, net)

    def step(image: Tensor, labels: Tensor) -> None:
        embedding = net.embed(image.to(memory_format=torch.channels_last))
        loss = F.cross_entropy(net.head(embedding), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        average.update_parameters(net)

    return net, step


def seed_step() -> Callable[[Tensor, Tensor], None]:
    """A step of the seed's trainer: contiguous maps, a second forward pass for the features."""
    trunk = resnet18()
    trunk.fc = nn.Identity()
    head, centers = nn.Linear(512, CLASSES), ContrastiveCenterLoss(CLASSES, 512, "seed")
    parameters = [*trunk.parameters(), *head.parameters()]
    optimizers = (
        torch.optim.Adam(parameters, lr=1e-4, betas=(0.9, 0.98), eps=1e-9),
        torch.optim.Adagrad(centers.parameters(), lr=1e-3),
    )

    def step(image: Tensor, labels: Tensor) -> None:
        colour = image.expand(-1, 3, -1, -1).contiguous()
        loss = F.cross_entropy(head(trunk(colour)), labels)
        loss = loss + centers(trunk(colour), labels).loss
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()

    return step


def augmentation(pixels: int) -> Callable[[], object]:
    """What our loop does to the clips of a batch before the trunk: augmentation and features."""
    recipe = load("default").with_values({"frontend.image_size": pixels})
    frontend = build_net(recipe, CLASSES).frontend
    training_input = TrainingInput(recipe, frontend, CLASSES, torch.device("cpu"))
    pcm = 0.1 * torch.randn(BATCH, training_input.window.samples)
    lengths, labels = torch.full((BATCH,), training_input.window.samples), torch.arange(BATCH)
    return lambda: training_input(pcm, lengths, labels, torch.Generator().manual_seed(0))
