"""How near somebody has to be to get a name: ``--accept``, ``--threshold``, ``--always-answer``.

``identify``, ``timeline`` and ``listen`` have them, and nothing but the model file is needed here.
"""

from __future__ import annotations

from voxedge.cli import options
from voxedge.errors import UsageError
from voxedge.inference.identifier import Identifier

_ANY_COSINE = -1.0  # which everybody reaches


class Limit:
    """What the flags say.

    Args:
        accept: share of strangers who may be named.
        cosine: of a gallery, in place of that.
        always: somebody is named in any case.

    Raises:
        UsageError: they do not go together.
    """

    def __init__(self, accept: float, cosine: float | None, always: bool) -> None:
        self.given = always or accept != options.DEFAULT_SHARE
        if always and (cosine is not None or accept != options.DEFAULT_SHARE):
            raise UsageError("--always-answer goes without --accept and --threshold")
        self.accept = accept
        self.cosine = _ANY_COSINE if always else cosine
        self._always = always

    def share(self, identifier: Identifier) -> float | None:
        """The share of strangers that a model file may name; None: everybody gets a name.

        Raises:
            UsageError: the file has no threshold for a share that was asked for, or a cosine was.
        """
        if self._always:
            return None
        if self.cosine is not None:
            raise UsageError("--threshold goes with --gallery", "--accept 1%")
        if self.given and identifier.answers.least_known(self.accept) is None:
            raise UsageError(
                f"{identifier.model_file.path.name} has no threshold for {100 * self.accept:.3g} %"
                " of strangers: too few clips stood for them",
                "export it with --impostors FOLDER",
            )
        return self.accept
