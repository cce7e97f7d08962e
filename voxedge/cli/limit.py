"""How near somebody has to be to get a name: ``--accept``, ``--threshold``, ``--always-answer``.

``identify``, ``timeline`` and ``listen`` have them, and nothing but the model file is needed here.
"""

from __future__ import annotations

from dataclasses import dataclass

from voxedge.cli import options
from voxedge.errors import UsageError
from voxedge.inference.identifier import Identifier

_ANY_COSINE = -1.0  # which everybody reaches


@dataclass(frozen=True)
class Limit:
    """What the flags say.

    Raises:
        UsageError: they do not go together.
    """

    accept: float  # share of strangers who may be named
    threshold: float | None  # a cosine, of a gallery, in place of that
    always: bool  # somebody is named in any case

    def __post_init__(self) -> None:
        if self.always and (self.threshold is not None or self.accept != options.DEFAULT_SHARE):
            raise UsageError("--always-answer goes without --accept and --threshold")

    @property
    def given(self) -> bool:
        """Whether anything was asked for."""
        return self.always or self.threshold is not None or self.accept != options.DEFAULT_SHARE

    @property
    def cosine(self) -> float | None:
        """Of a gallery; None: it follows from ``accept``."""
        return _ANY_COSINE if self.always else self.threshold

    def share(self, identifier: Identifier) -> float | None:
        """The share of strangers that a model file may name; None: everybody gets a name.

        Raises:
            UsageError: the file has no threshold for a share that was asked for, or a cosine was.
        """
        if self.threshold is not None:
            raise UsageError("--threshold goes with --gallery", "--accept 1%")
        if self.always:
            return None
        if self.given and identifier.answers.least_known(self.accept) is None:
            raise UsageError(
                f"{identifier.model_file.path.name} has no threshold for {100 * self.accept:.3g} %"
                " of strangers: too few clips stood for them",
                "export it with --impostors FOLDER",
            )
        return self.accept
