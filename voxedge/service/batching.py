"""Share inference between requests: windows of clips that arrive together are computed together.

Shapes: S samples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple

from voxedge.audio.limits import Samples
from voxedge.errors import VoxedgeError
from voxedge.inference.identifier import Identifier
from voxedge.inference.scoring import ClipScores
from voxedge.speech.segments import Segment


class _Waiting(NamedTuple):
    samples: Samples  # [S]
    speech: Sequence[Segment] | None
    result: Future[ClipScores[None]]


class Batcher:
    """Scores clips on a thread of its own.

    Args:
        model: the model file.
        wait: seconds that a clip waits for others, while ``expected`` says that some will come.
        expected: clips that are on their way.
        observe: is called with the number of clips that were computed together.
    """

    def __init__(
        self,
        model: Identifier,
        wait: float,
        expected: Callable[[], int],
        observe: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._model, self._wait, self._expected, self._observe = model, wait, expected, observe
        self._window = model.metadata.window
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name="voxedge-batches", daemon=True)
        self._thread.start()

    def submit(
        self, samples: Samples, speech: Sequence[Segment] | None
    ) -> Future[ClipScores[None]]:
        """Score samples [S] at the model's rate; segments of their speech, if it was looked for."""
        waiting = _Waiting(samples, speech, Future())
        self._queue.put(waiting)
        return waiting.result

    def close(self) -> None:
        """Score what has been submitted, and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (first := self._queue.get()) is not None:
            group, at_end = self._gather(first)
            self._observe(len(group))
            self._score(group)
            if at_end:
                return

    def _gather(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        """What is computed with a clip: whatever else waits, up to a batch."""
        group, deadline = [first], time.monotonic() + self._wait
        left = self._model.batch_size - self._windows(first)
        while left > 0:
            patience = max(0.0, deadline - time.monotonic()) if self._expected() else 0.0
            try:
                item = self._queue.get(timeout=patience) if patience else self._queue.get_nowait()
            except Empty:
                return group, False
            if item is None:
                return group, True
            group.append(item)
            left -= self._windows(item)
        return group, False

    def _windows(self, item: _Waiting) -> int:
        """About how many windows a clip has: they overlap by half."""
        return max(1, 2 * len(item.samples) // self._window - 1)

    def _score(self, group: list[_Waiting]) -> None:
        clips = ((number, each.samples) for number, each in enumerate(group))
        try:
            found = list(self._model.score(clips, speech=lambda number: group[number].speech))
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever it is
            if len(group) == 1:
                group[0].result.set_exception(
                    error if isinstance(error, VoxedgeError) else VoxedgeError(str(error))
                )
            else:  # one of them is at fault
                for each in group:
                    self._score([each])
            return
        for scores in found:
            facts = (scores.windows, scores.probabilities, scores.embedding, scores.logits)
            group[scores.key].result.set_result(ClipScores(None, *facts))
