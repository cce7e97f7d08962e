"""The end of training: what is fitted to a network that learns no more.

Half a head in closed form, how much less sure short clips make it, and the temperature that turns
logits into probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from voxedge.data.corpus import Corpus
from voxedge.data.dataset import TrainingSet
from voxedge.data.manifest import Side
from voxedge.data.split import Split
from voxedge.nn.augment import WaveAugment
from voxedge.nn.speaker_net import SpeakerNet
from voxedge.train.evaluate import Examples, Heard, Scores, examples, score
from voxedge.train.recipe import LossRecipe
from voxedge.train.refit import add_discriminant, modesty_of, temperature_of
from voxedge.windows import Policy

_PIECE = 1 / 3  # of a window: the pieces by which confidence in short clips is set
_SURE_OF = ("noise",)  # and clean clips: with channels, confidence would be too low for them

#: Copies of each training clip that discriminants learn from, by what is done to them. As many
#: over channels as in noise, and none in rooms: telephones need them (docs/experiments.md).
_QUIET = {"clean": 3, "shorter": 1}
_SPOILT = {"noise": 4, "channel": 4}
_ENOUGH = 24_000  # windows of one kind: 4.5 kB each


@dataclass(frozen=True)
class Judge:
    """Asks a network about the sides of a corpus.

    Args:
        net: as it is when it is asked.
        corpus: where the samples are.
        split: which clips are of a side.
        device: where the network is.
        workers: threads that decode.
        between: called after every batch, and may raise.
    """

    net: SpeakerNet
    corpus: Corpus
    split: Split
    device: torch.device
    workers: int
    between: Callable[[], None]

    def scores(self, side: Side, policy: Policy, heard: Heard | None = None) -> Scores:
        """What it says of the clips of a side, with their samples spoilt on the way if asked."""
        entries = self.split.of(self.corpus.entries, side)
        return score(
            self.net, self.corpus, entries, self.device, policy, self.workers, self.between, heard
        )

    def validation(
        self,
        ways: Iterable[str],
        augment: WaveAugment | None,
        random: Callable[[], torch.Generator],
    ) -> list[Scores]:
        """What it says of validation clips as they are, and of copies spoilt in one way each.

        Args:
            ways: of which those are taken that there are.
            augment: of training, if there was any.
            random: a new generator, the same for every way.
        """
        found = [self.scores("validation", "all")]
        for way in _ways(augment, ways):
            spoilt = _spoilt(augment, way, self.net, random())
            found.append(self.scores("validation", "all", spoilt))
        return found

    def examples(
        self,
        training_set: TrainingSet,
        copies: Mapping[str, int],
        augment: WaveAugment | None,
        random: torch.Generator,
    ) -> Examples | None:
        """Windows of the training clips, some copies of each way in ``copies`` that there is."""
        found: list[Examples] = []
        for way in (*(["clean"] if "clean" in copies else []), *_ways(augment, copies)):
            heard = None if way == "clean" else _spoilt(augment, way, self.net, random)
            for copy in range(max(1, min(copies[way], _ENOUGH // training_set.clips))):
                windows = training_set.epoch(copy)
                found.append(examples(self.net, windows, self.device, self.between, heard))
        if not found:
            return None
        parts = zip(*((each.evidence, each.labels) for each in found), strict=True)
        return Examples(*map(np.concatenate, parts))


def calibrate(
    judge: Judge,
    training_set: TrainingSet,
    recipe: LossRecipe,
    augment: WaveAugment | None,
    random: Callable[[], torch.Generator],
) -> float:
    """Fit all that is fitted last; the network is changed, its temperature is returned.

    Args:
        judge: of that network.
        training_set: what a discriminant learns from.
        recipe: says whether there is to be a discriminant.
        augment: of training, if there was any.
        random: a new generator whenever clips are spoilt.
    """
    net = judge.net
    if recipe.refit:
        generator = random()
        quiet = judge.examples(training_set, _QUIET, augment, generator)
        spoilt = judge.examples(training_set, _SPOILT, augment, generator)
        assert quiet is not None  # clean clips there are always
        validation = judge.validation((*_QUIET, *_SPOILT), augment, random)
        add_discriminant(net, quiet, spoilt, validation)
    piece = round(_PIECE * net.frontend.window.samples)
    pieces = judge.scores("validation", "first", lambda pcm, n: (pcm, n.clamp(max=piece)))
    net.modesty = modesty_of(judge.scores("validation", "first"), pieces, _PIECE)
    return temperature_of(judge.validation(_SURE_OF, augment, random))


def _ways(augment: WaveAugment | None, known: Iterable[str]) -> list[str]:
    """What training does to clips, of the ways that are known."""
    done: dict[str, float] = {} if augment is None else vars(augment.recipe)
    return [way for way in known if done.get(way)]


def _spoilt(
    augment: WaveAugment | None, way: str, net: SpeakerNet, random: torch.Generator
) -> Heard:
    assert augment is not None  # it has that way
    alone, window = augment.alone(way), net.frontend.window.samples

    def heard(pcm: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        whole: Tensor = alone(pcm, lengths, random)
        return whole[:, :window], torch.full_like(lengths, window)

    return heard
