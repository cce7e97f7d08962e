"""The parity gate: ONNX Runtime must compute from the float32 graph what PyTorch computes.

Shapes: B batch, S samples, W samples of the window, K classes, E embedding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt
import torch

from voxedge.audio.limits import Samples
from voxedge.audio.windows import batches
from voxedge.errors import ParityError
from voxedge.inference.runtime import onnxruntime

#: Largest difference: of probabilities and embeddings absolute; of logits relative to their spread,
#: since it is their differences that decide, and float32 rounds relative to a value's size.
TOLERANCE = 1e-3
_BATCH_SIZES = (1, 2, 3, 7)

_Floats: TypeAlias = npt.NDArray[np.float32]
_Case: TypeAlias = tuple[Samples, npt.NDArray[np.int64] | None]  # pcm [B, S], lengths [B]


class Reference(Protocol):
    """What the graph is compared with: pcm [B, S] and lengths [B] -> the graph's outputs."""

    @property
    def window(self) -> int:
        """W."""

    def __call__(self, pcm: torch.Tensor, lengths: torch.Tensor) -> Sequence[torch.Tensor]:
        """Logits [B, K], probabilities [B, K] and embedding [B, E]."""


class RowSummary(TypedDict):
    """A ``Row`` in the metadata."""

    case: str
    rows: int
    logits: float
    probabilities: float
    embedding: float
    top1: float
    top5: float
    spread: float


class ParitySummary(TypedDict):
    """The parity table in the metadata, with the worst values of its cases."""

    reference: str
    runtime: str
    tolerance: float
    windows: int
    logits: float
    top1: float
    top5: float
    cases: list[RowSummary]


@dataclass(frozen=True)
class Row:
    """One line of the parity table."""

    case: str
    rows: int  # windows measured
    logits: float  # largest absolute difference
    probabilities: float
    embedding: float
    top1: float  # fraction of the windows that agree
    top5: float
    spread: float = 1.0  # RMS deviation of the logits from the mean of their row, at least 1

    @property
    def passed(self) -> bool:
        """Whether every output is within tolerance and every answer the same."""
        worst = max(self.logits / self.spread, self.probabilities, self.embedding)
        return worst <= TOLERANCE and self.top1 == 1.0 and self.top5 == 1.0

    def summary(self) -> RowSummary:
        """The JSON form, rounded, so that equal runs give equal bytes."""
        return {
            "case": self.case,
            "rows": self.rows,
            "logits": _round(self.logits),
            "probabilities": _round(self.probabilities),
            "embedding": _round(self.embedding),
            "top1": _round(self.top1),
            "top5": _round(self.top5),
            "spread": _round(self.spread),
        }


def measure(net: Reference, model: bytes, clips: Sequence[Samples]) -> list[Row]:
    """Run network and graph on real clips, at several batch sizes and at awkward lengths.

    Args:
        net: the trained network.
        model: the serialised graph.
        clips: real speech, [S] each.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [_measure_case(net, session, name, cases) for name, cases in _cases(net, clips)]


def check(rows: Sequence[Row]) -> None:
    """Refuse a graph that differs from the network.

    Raises:
        ParityError: it does; the message says in which case and by how much.
    """
    for row in rows:
        if not row.passed:
            raise ParityError(
                f"no file written: on {row.case} the exported logits differ by {row.logits:.2e},"
                f" probabilities by {row.probabilities:.2e}, embeddings by {row.embedding:.2e},"
                f" allowed {TOLERANCE:.0e} (of logits {TOLERANCE * row.spread:.1e});"
                f" top-1 agrees in {row.top1:.1%}, top-5 in {row.top5:.1%}"
            )


def summary(rows: Sequence[Row], reference: str = "PyTorch") -> ParitySummary:
    """The JSON form, for the metadata."""
    cases = [row.summary() for row in rows]
    return {
        "reference": reference,
        "runtime": f"onnxruntime {onnxruntime.__version__}",
        "tolerance": TOLERANCE,
        "windows": sum(row.rows for row in rows),
        "logits": max(case["logits"] for case in cases),
        "top1": min(case["top1"] for case in cases),
        "top5": min(case["top5"] for case in cases),
        "cases": cases,
    }


def _round(value: float) -> float:
    return float(f"{value:.1e}")


def _cases(net: Reference, clips: Sequence[Samples]) -> Iterator[tuple[str, list[_Case]]]:
    """Name and inputs of every line of the table."""
    window = net.window
    largest = max(_BATCH_SIZES)
    windows = [(None, clip[:window]) for clip in clips]
    windows *= math.ceil(largest / len(windows))
    for size in _BATCH_SIZES:
        some = windows if size == largest else windows[: 8 * size]
        yield (
            f"clips, batch {size}",
            [(batch.pcm, batch.lengths) for batch in batches(some, size, window)],
        )
    longest = max(clips, key=len)
    speech = np.tile(longest, 1 + 2 * window // len(longest))
    lengths = {
        "shorter than the window": (window // 3, window // 12),
        "odd lengths": (window - 1, window + 1, window // 2 + 1),
        "longer than the window": (window + 12_345, 2 * window),
    }
    for name, sizes in lengths.items():
        yield name, [(speech[None, :size], None) for size in sizes]
    mixed = np.array([window // 4, window // 2, window])
    yield "lengths given", [(np.stack([speech[:window]] * 3), mixed)]
    quiet = np.stack([speech[:window] * 1e-3, np.zeros(window, np.float32), -speech[:window]])
    yield "quiet, silent, inverted", [(quiet, None)]


def _measure_case(
    net: Reference, session: onnxruntime.InferenceSession, name: str, cases: list[_Case]
) -> Row:
    ours: list[list[_Floats]] = []
    theirs: list[list[_Floats]] = []
    for pcm, lengths in cases:
        valid = np.full(len(pcm), pcm.shape[1]) if lengths is None else lengths
        with torch.inference_mode():
            outputs = net(torch.from_numpy(pcm), torch.from_numpy(valid))
        ours.append([value.numpy() for value in outputs])
        feeds = {"pcm": pcm} if lengths is None else {"pcm": pcm, "lengths": lengths}
        theirs.append(session.run(["logits", "probabilities", "embedding"], feeds))
    pairs = [
        (np.concatenate(a), np.concatenate(b))
        for a, b in zip(zip(*ours, strict=True), zip(*theirs, strict=True), strict=True)
    ]
    return compare(name, pairs)


def compare(name: str, pairs: Sequence[tuple[_Floats, _Floats]]) -> Row:
    """The line of a case.

    Args:
        name: of the case.
        pairs: expected and actual logits [N, K], probabilities [N, K] and embeddings [N, E].
    """
    logits, probabilities, embedding = (float(np.abs(a - b).max()) for a, b in pairs)
    expected, actual = pairs[0]
    spread = max(1.0, float(np.sqrt(expected.var(axis=1).mean())))
    top1, top5 = (_agreement(expected, actual, k, TOLERANCE * spread) for k in (1, 5))
    return Row(name, len(expected), logits, probabilities, embedding, top1, top5, spread)


def _agreement(expected: _Floats, actual: _Floats, k: int, tie: float) -> float:
    """Fraction of rows whose k best classes are the same set; near ties count as agreement."""
    same = 0
    for a, b in zip(expected, actual, strict=True):
        best_a, best_b = (set(np.argsort(-row, kind="stable")[:k].tolist()) for row in (a, b))
        swapped = best_a ^ best_b
        same += not swapped or float(np.ptp(a[list(swapped)])) <= tie
    return same / len(expected)
