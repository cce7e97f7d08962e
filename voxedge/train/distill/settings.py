"""The numbers of a distillation, in addition to those of its recipe."""

from __future__ import annotations

from dataclasses import dataclass

from voxedge.train.recipe_sections import check


@dataclass(frozen=True)
class Distillation:
    """How a student is taught.

    Args:
        steps: batches in all. More may be asked for later: the learning rate is constant, but for
            ``warm_up`` and the last ``decay`` of the steps.
        variations: how often the teacher is asked about every clip: once as recorded, then each
            time as another voice.
        speeds: range of the other voices' playback speed, pitch included.
        formants: range of the factor of their formants.
        held_out: speakers that are not trained on, to check by; at most half of those who can be.
        crops: lengths of the crops as fractions of the window; a batch has one.
        temperature: of the similarities to other clips.
        similarity_weight: of the loss on them, in addition to the cosine distance.
        bank: clips drawn at random that the similarities are to.
        warm_up: steps over which the learning rate rises.
        decay: last part of the steps, in which it falls to zero.
        check_every: steps between two checks, each followed by a checkpoint.
    """

    steps: int = 20_000
    variations: int = 4
    speeds: tuple[float, float] = (0.74, 1.36)
    formants: tuple[float, float] = (0.85, 1.18)
    held_out: int = 300
    crops: tuple[float, ...] = (0.2, 0.3, 0.4, 0.6, 1.0)
    temperature: float = 0.07
    similarity_weight: float = 0.5
    bank: int = 4096
    warm_up: int = 200
    decay: float = 0.3
    check_every: int = 1000

    def __post_init__(self) -> None:
        check(self.steps >= 1, "steps: at least 1")
        check(self.variations >= 1, "variations: at least 1")
        for name in ("speeds", "formants"):
            low, high = getattr(self, name)
            check(0.5 <= low <= high <= 2, f"{name}: between 0.5 and 2")
        check(self.held_out == 0 or self.held_out >= 2, "held-out speakers: none, or at least 2")
        crops = bool(self.crops) and all(0 < each <= 1 for each in self.crops)
        check(crops, "crops: fractions of the window")
        check(self.temperature > 0, "temperature: above 0")
        check(self.similarity_weight >= 0, "weight of the similarities: not negative")
        check(self.bank >= 1, "bank: at least 1")
        check(self.warm_up >= 0, "warm-up: not negative")
        check(0 <= self.decay <= 1, "decay: 0 to 1")
        check(self.check_every >= 1, "steps between two checks: at least 1")

    def learning_rate(self, step: int) -> float:
        """Factor of the learning rate at a step, 0 to 1.

        Warm-up, constant, decay (Hu et al. 2024, "MiniCPM", sec. 4): unlike a cosine it does not
        depend on how many steps follow until the decay begins.
        """
        falling = (self.steps - step) / max(1.0, self.decay * self.steps)
        return min(1.0, (step + 1) / max(1, self.warm_up), falling)
