"""The end of training: what is fitted to a network that learns no more.

Half a head in closed form, how much less sure short clips make it, and the temperature that turns
logits into probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from torch import Tensor

from voxedge.audio.windows import Policy
from voxedge.data.corpus import Corpus
from voxedge.data.manifest import Side
from voxedge.data.split import Split
from voxedge.inference.scoring import LabelledScores
from voxedge.nn.augment import WaveAugment
from voxedge.nn.speaker_net import SpeakerNet
from voxedge.train.lda import Lessons, add_discriminant, modesty_of, temperature_of
from voxedge.train.moments import Moments
from voxedge.train.recipe import LossRecipe
from voxedge.train.scorer import Heard, gather, score

_PIECE = 1 / 3  # of a window: the pieces that stand for short clips
_PLACES = (0.0, 0.5, 1.0)  # of a piece in its window: at the beginning, in the middle, at the end
_COPIES = {"noise": 4, "channel": 4}  # of a training clip, spoilt in these ways, each time anew
_JUDGED = 3  # copies of a validation clip, likewise: what is said in one noise is chance
_ENOUGH = 1_000  # copies in all: with so many clips one of each says as much, in less memory
_IN_ROOMS = 1 / 3  # the weight of a copy in rooms beside the clip as it is
_SURE_OF = ("clean", "noise")  # with channels, confidence would be too low for all others


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

    def scores(self, side: Side, policy: Policy, heard: Heard | None = None) -> LabelledScores:
        """What it says of the clips of a side, with their samples spoilt on the way if asked."""
        entries = self.split.of(self.corpus.entries, side)
        return score(
            self.net, self.corpus, entries, self.device, policy, self.workers, self.between, heard
        )

    def kinds(
        self, augment: WaveAugment | None, random: Callable[[], torch.Generator]
    ) -> dict[str, LabelledScores]:
        """What it says of validation clips as they are, and of copies spoilt in one way at a time.

        Args:
            augment: of training: the ways that it knows.
            random: a new generator, the same for every way.
        """
        found = {"clean": self.scores("validation", "all")}
        count = min(_JUDGED, max(1, _ENOUGH // len(found["clean"].truth)))
        for way in _known(augment, _COPIES):
            heard = _spoilt(augment, way, self.net, random())
            copies = [self.scores("validation", "all", heard) for _ in range(count)]
            found[way] = LabelledScores.concatenate(copies)
        return found

    def lessons(
        self, augment: WaveAugment | None, random: Callable[[], torch.Generator]
    ) -> Lessons:
        """Of training clips, pieces of them, and copies; arguments as for ``kinds``."""
        pieces = reduce(add, (self._moments(self._piece(place)) for place in _PLACES))
        pieces = pieces * (1 / len(_PLACES))
        first, others = self._moments(None) + pieces, None
        for way in _known(augment, ("rooms",)):
            heard = _spoilt(augment, way, self.net, random())
            first = first + self._moments(heard) * _IN_ROOMS
        for way in _known(augment, _COPIES):
            heard = _spoilt(augment, way, self.net, random())
            for _ in range(_COPIES[way]):
                others = (pieces if others is None else others) + self._moments(heard)
        return Lessons(first, others)

    def pieces(self, side: Side) -> LabelledScores:
        """What it says of a piece of each clip, from its beginning."""
        return self.scores(side, "first", self._piece(0.0))

    def _piece(self, place: float) -> Heard:
        """Of every window only ``_PIECE``, or all of it where it is as short: that does no harm."""
        size = round(_PIECE * self.net.frontend.window.samples)

        def heard(pcm: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            starts = ((lengths - size).clamp(min=0) * place).long()
            columns = starts.unsqueeze(1) + torch.arange(size, device=pcm.device)
            return pcm.gather(1, columns), lengths.clamp(max=size)

        return heard

    def _moments(self, heard: Heard | None) -> Moments:
        entries = self.split.of(self.corpus.entries, "train")
        return gather(
            self.net, self.corpus, entries, self.device, self.workers, self.between, heard
        )


def calibrate(
    judge: Judge,
    recipe: LossRecipe,
    augment: WaveAugment | None,
    random: Callable[[], torch.Generator],
) -> float:
    """Fit all that is fitted last; the network is changed, its temperature is returned.

    Args:
        judge: of that network.
        recipe: says whether there is to be a discriminant.
        augment: of training, if there was any.
        random: a new generator whenever clips are spoilt.
    """
    net = judge.net
    if recipe.refit:
        validation = judge.kinds(augment, random)
        add_discriminant(net, judge.lessons(augment, random), list(validation.values()))
    whole, pieces = judge.scores("validation", "first"), judge.pieces("validation")
    net.modesty = modesty_of(whole, pieces, _PIECE)
    kinds = judge.kinds(augment, random)
    return temperature_of([kinds[kind] for kind in _SURE_OF if kind in kinds])


def _known(augment: WaveAugment | None, ways: Iterable[str]) -> list[str]:
    """Those of the ways that training spoils clips in."""
    return [way for way in ways if augment is not None and getattr(augment.degradations, way)]


def _spoilt(
    augment: WaveAugment | None, way: str, net: SpeakerNet, random: torch.Generator
) -> Heard:
    assert augment is not None  # else no way is known
    alone = augment.alone(**{way: 1.0})
    window = net.frontend.window.samples

    def heard(pcm: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        whole: Tensor = alone(pcm, lengths, random)
        return whole[:, :window], torch.full_like(lengths, window)

    return heard
