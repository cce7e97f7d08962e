"""From scores to answers: the speakers that somebody may be, or nobody of them.

``identify``, ``timeline``, ``listen`` and Python all answer through ``Answers``, so that a stranger
to one of them is a stranger to all.

Shapes: K classes, E embedding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from voxedge.errors import NonFiniteOutput, UsageError
from voxedge.inference.open_set import OpenSet, probability
from voxedge.inference.prediction import Prediction, Score
from voxedge.inference.scoring import ClipScores
from voxedge.model_file.metadata import Metadata
from voxedge.speech.clip import Speech


class Heard(NamedTuple):
    """What an answer says about the sound, beside its scores."""

    seconds: float
    path: str = ""
    warnings: tuple[str, ...] = ()
    speech: Speech | None = None  # None: it was not looked for


@dataclass(frozen=True)
class Answers:
    """What a model file answers to scores.

    Args:
        metadata: of the file.
        model: its name.
        provider: ONNX Runtime's execution provider.
        open_set: tells strangers; None: everybody gets a name.
    """

    metadata: Metadata
    model: str
    provider: str
    open_set: OpenSet | None

    def embedded(self, scores: ClipScores[Any], heard: Heard) -> Prediction:
        """The answer that has an embedding and names nobody.

        Raises:
            NonFiniteOutput: an output is NaN or infinite.
        """
        speech = heard.speech
        answer = Prediction(
            path=heard.path,
            seconds=heard.seconds,
            speaker=None,
            predictions=(),
            windows=scores.windows,
            model=self.model,
            provider=self.provider,
            warnings=heard.warnings,
            speech_seconds=speech.seconds if speech else None,
        )
        if not scores.windows:
            return replace(answer, reason=(speech and speech.unfit) or "no_speech")
        if not (np.isfinite(scores.probabilities).all() and np.isfinite(scores.embedding).all()):
            raise NonFiniteOutput("the model's answer is not a number")
        return replace(answer, embedding=scores.embedding)

    def named(
        self,
        embedded: Prediction,
        scores: ClipScores[Any],
        top_k: int,
        accept: float | None,
        seconds: float | None = None,
    ) -> Prediction:
        """Name the speaker of an answer, or nobody, below the file's threshold (``unknown``).

        Args:
            embedded: of ``embedded``, with at least one window.
            scores: of the same sound.
            top_k: how many speakers to list.
            accept: share of strangers who may be named; None: somebody is named in any case.
            seconds: of each piece of sound whose windows the scores average; by default the clip's.

        Raises:
            UsageError: no share between 0 and 1.
        """
        least = None if accept is None else self.least_known(accept)
        best = np.argsort(-scores.probabilities, kind="stable")[:top_k]
        listed = tuple(Score(self.metadata.labels[k], float(scores.probabilities[k])) for k in best)
        known = None
        if self.open_set is not None:
            length = embedded.seconds if seconds is None else seconds
            known = probability(self.log_odds(scores, length))
        stranger = known is not None and least is not None and known < least
        return replace(
            embedded,
            speaker=None if stranger else listed[0].speaker,
            reason="unknown" if stranger else None,
            predictions=listed,
            known=known,
            least_known=least,
        )

    def log_odds(self, scores: ClipScores[Any], seconds: float) -> float:
        """Log-odds that one of the file's speakers was heard, at even odds.

        Args:
            scores: with at least one window.
            seconds: of the sound; what is longer than a window counts as a window.

        Raises:
            UsageError: the file has no ``open_set``.
        """
        if self.open_set is None:
            raise UsageError(f"{self.model} cannot tell strangers", "export it again")
        length = np.array([min(seconds, self.metadata.window_seconds)])
        return float(self.open_set.log_odds(scores.logits[None], length)[0])

    def least_known(self, share: float) -> float | None:
        """The probability ``Prediction.known`` below which nobody is named.

        None if the file has no threshold for that share of strangers: then everybody gets a name.

        Raises:
            UsageError: no share between 0 and 1.
        """
        if not 0 < share < 1:
            raise UsageError(f"accept must be between 0 and 1, not {share}")
        odds = self.open_set.threshold(share) if self.open_set else None
        return None if odds is None else probability(odds)
