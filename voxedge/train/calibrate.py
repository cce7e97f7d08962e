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
from voxedge.data.clips import Side
from voxedge.data.corpus import Corpus
from voxedge.data.split import Split
from voxedge.inference.scoring import LabelledScores
from voxedge.nn.augment import WaveAugment
from voxedge.nn.speaker_net import SpeakerNet
from voxedge.train.lda import Lessons, add_discriminant, duration_exponent_of, temperature_of
from voxedge.train.moments import Moments
from voxedge.train.recipe_sections import LossRecipe
from voxedge.train.scorer import Transform, gather, score

_SEGMENT = 1 / 3  # of a window: the segments that stand for short clips
_PLACES = (0.0, 0.5, 1.0)  # of a segment in its window: at the beginning, in the middle, at the end
_COPIES = {"noise": 4, "channel": 4}  # of a training clip, degraded in these ways, each time anew
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

    def scores(
        self, side: Side, policy: Policy, transform: Transform | None = None
    ) -> LabelledScores:
        """What it says of the clips of a side, with their samples degraded on the way if asked."""
        entries = self.split.of(self.corpus.entries, side)
        return score(
            self.net,
            self.corpus,
            entries,
            self.device,
            policy,
            self.workers,
            self.between,
            transform,
        )

    def kinds(
        self, augment: WaveAugment | None, random: Callable[[], torch.Generator]
    ) -> dict[str, LabelledScores]:
        """Its scores of validation clips as they are, and of copies degraded in one way at a time.

        Args:
            augment: of training: the ways that it knows.
            random: a new generator, the same for every way.
        """
        found = {"clean": self.scores("validation", "all")}
        count = judged_copies(len(found["clean"].truth))
        for way in known(augment, _COPIES):
            transform = degraded(augment, way, self._window, random())
            copies = [self.scores("validation", "all", transform) for _ in range(count)]
            found[way] = LabelledScores.concatenate(copies)
        return found

    def lessons(
        self, augment: WaveAugment | None, random: Callable[[], torch.Generator]
    ) -> Lessons:
        """Of training clips, segments of them, and copies; arguments as for ``kinds``."""
        segments = reduce(add, (self._moments(self._segment(place)) for place in _PLACES))
        segments = segments * (1 / len(_PLACES))
        first, others = self._moments(None) + segments, None
        for way in known(augment, ("rooms",)):
            transform = degraded(augment, way, self._window, random())
            first = first + self._moments(transform) * _IN_ROOMS
        for way in known(augment, _COPIES):
            transform = degraded(augment, way, self._window, random())
            for _ in range(_COPIES[way]):
                others = (segments if others is None else others) + self._moments(transform)
        return Lessons(first, others)

    def segments(self, side: Side) -> LabelledScores:
        """What it says of a segment of each clip, from its beginning."""
        return self.scores(side, "first", self._segment(0.0))

    @property
    def _window(self) -> int:
        return self.net.frontend.window.samples

    def _segment(self, place: float) -> Transform:
        return segment(self._window, place)

    def _moments(self, transform: Transform | None) -> Moments:
        entries = self.split.of(self.corpus.entries, "train")
        return gather(
            self.net, self.corpus, entries, self.device, self.workers, self.between, transform
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
        random: a new generator whenever clips are degraded.
    """
    net = judge.net
    if recipe.refit:
        validation = judge.kinds(augment, random)
        add_discriminant(net, judge.lessons(augment, random), list(validation.values()))
    whole, segments = judge.scores("validation", "first"), judge.segments("validation")
    net.duration_exponent = duration_exponent_of(whole, segments, _SEGMENT)
    kinds = judge.kinds(augment, random)
    return temperature_of([kinds[kind] for kind in _SURE_OF if kind in kinds])


def judged_copies(clips: int) -> int:
    """How many degraded copies of each of so many validation clips are judged by."""
    return min(_JUDGED, max(1, _ENOUGH // clips))


def segment(window: int, place: float) -> Transform:
    """Cut a third out of every window [W], or keep all of one that is as short.

    Args:
        window: W.
        place: where in the window it is, 0 to 1.
    """
    size = round(_SEGMENT * window)

    def transform(pcm: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        starts = ((lengths - size).clamp(min=0) * place).long()
        columns = starts.unsqueeze(1) + torch.arange(size, device=pcm.device)
        return pcm.gather(1, columns), lengths.clamp(max=size)

    return transform


def known(augment: WaveAugment | None, ways: Iterable[str]) -> list[str]:
    """Those of the ways that training degrades clips in."""
    return [way for way in ways if augment is not None and getattr(augment.degradations, way)]


def degraded(
    augment: WaveAugment | None, way: str, window: int, random: torch.Generator
) -> Transform:
    """Degrade all clips in one of the ``known`` ways; windows [W] stay as long."""
    assert augment is not None  # else no way is known
    alone = augment.only(**{way: 1.0})

    def transform(pcm: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        whole: Tensor = alone(pcm, lengths, random)
        return whole[:, :window], torch.full_like(lengths, window)

    return transform
