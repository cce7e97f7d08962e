"""Identify clips in columns: what Ray Data, Spark, Dask and Daft hand to a function."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from voxedge.audio.load import Source
from voxedge.errors import UsageError
from voxedge.inference.identifier import Identifier
from voxedge.inference.open_set import ACCEPT
from voxedge.inference.prediction import Failure, Prediction

Column = npt.NDArray[Any]

#: The columns of the answers, and whether each holds numbers.
COLUMNS = {
    "speaker": False,
    "probability": True,
    "known": True,
    "reason": False,
    "seconds": True,
    "speech_seconds": True,
    "windows": True,
    "warnings": False,
    "error": False,
    "message": False,
    "model": False,
}


class BatchIdentifier:
    """A model file that takes columns and gives columns; made once in each worker.

    Every row has an answer: a clip that cannot be used has an ``error`` (its code) and a
    ``message``, and nobody's name. An instance can be pickled before its first call, and opens the
    model file where it is used.

    Args:
        model: the file, see ``voxedge.inference.identifier.Identifier``.
        accept: share of strangers who may be named; None: somebody is named in any case.
        device: see ``Identifier``.
        threads: see ``Identifier``; with one worker for each processor, 1.
        isolate: decode in processes of their own, since clips come from elsewhere.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        accept: float | None = ACCEPT,
        device: str = "auto",
        threads: int = 1,
        isolate: bool = True,
    ) -> None:
        self._options: dict[str, Any] = {"device": device, "threads": threads, "isolate": isolate}
        self._model, self._accept = model, accept
        self._identifier: Identifier | None = None

    @property
    def identifier(self) -> Identifier:
        """The model file, opened."""
        if self._identifier is None:
            self._identifier = Identifier(self._model, **self._options)
            self._identifier.require_speakers()
        return self._identifier

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_identifier": None}

    def __call__(self, batch: Mapping[str, Sequence[Any] | Column]) -> dict[str, Column]:
        """Identify the clips of a batch.

        Args:
            batch: columns of equal length. ``bytes`` are the clips; without that column ``path``
                names them, as files or as URLs that fsspec reads.

        Returns:
            The columns of the batch but for ``bytes``, and those of ``COLUMNS``: numbers as
            float64, NaN where there is none; the others as objects, None where there is none.

        Raises:
            UsageError: there is neither column.
            ModelError: the model file cannot be used; a clip's faults are in its row.
        """
        if "bytes" not in batch and "path" not in batch:
            raise UsageError("a batch needs a column 'bytes' or 'path'", f"it has {sorted(batch)}")
        answers = list(self._answers(batch))
        kept = {name: np.asarray(column) for name, column in batch.items() if name != "bytes"}
        return kept | _columns(answers)

    def _answers(
        self, batch: Mapping[str, Sequence[Any] | Column]
    ) -> Iterator[Prediction | Failure]:
        sources: Iterator[Source]
        if "bytes" in batch:
            sources = (bytes(data) for data in batch["bytes"])
        else:
            sources = (_opened(str(path)) for path in batch["path"])
        return self.identifier.identify_many(sources, top_k=1, accept=self._accept)


def _opened(path: str) -> Source:
    """A path, or the bytes behind a URL; a URL that cannot be read is passed on as a path.

    Then its row says that there is no such file.
    """
    if "://" not in path:
        return path
    import fsspec

    try:
        with fsspec.open(path, "rb") as file:
            return bytes(file.read())
    except OSError:
        return path


def _columns(answers: Sequence[Prediction | Failure]) -> dict[str, Column]:
    rows = [_row(answer) for answer in answers]
    columns: dict[str, Column] = {}
    for name, numeric in COLUMNS.items():
        values = [row.get(name) for row in rows]
        if numeric:
            columns[name] = np.array([np.nan if v is None else v for v in values], np.float64)
        else:
            columns[name] = np.array(values, object)
    return columns


def _row(answer: Prediction | Failure) -> dict[str, Any]:
    if isinstance(answer, Failure):
        return {"error": answer.error.code, "message": str(answer.error)}
    best = answer.predictions[0] if answer.predictions else None
    return {
        "speaker": answer.speaker,
        "probability": best.probability if best else None,
        "known": answer.known,
        "reason": answer.reason,
        "seconds": answer.seconds,
        "speech_seconds": answer.speech_seconds,
        "windows": answer.windows,
        "warnings": "; ".join(answer.warnings) or None,
        "model": answer.model,
    }
