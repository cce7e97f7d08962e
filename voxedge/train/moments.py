"""What is known of many windows of each speaker without keeping them.

Shapes: N windows, F figures of the evidence, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Moments:
    """Counts, sums and products: means and covariances follow from them, however many windows."""

    counts: npt.NDArray[np.float64]  # [K], windows
    sums: npt.NDArray[np.float64]  # [K, F]
    products: npt.NDArray[np.float64]  # [F, F], of all windows

    @classmethod
    def of(
        cls, evidence: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], classes: int
    ) -> Moments:
        """Of evidence [N, F] whose classes are ``labels`` [N]."""
        values = evidence.astype(np.float64)
        sums = np.zeros((classes, values.shape[1]))
        np.add.at(sums, labels, values)
        counts = np.bincount(labels, minlength=classes).astype(np.float64)
        return cls(counts, sums, values.T @ values)

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.counts + other.counts, self.sums + other.sums, self.products + other.products
        )

    def __mul__(self, weight: float) -> Moments:
        """As if each window had come so many times."""
        return Moments(weight * self.counts, weight * self.sums, weight * self.products)

    @property
    def means(self) -> npt.NDArray[np.float64]:
        """[K, F]; there has to be a window of every class."""
        means: npt.NDArray[np.float64] = self.sums / self.counts[:, None]
        return means

    @property
    def covariance_within(self) -> npt.NDArray[np.float64]:
        """[F, F]: how windows of one class differ, pooled over the classes, as for ``means``."""
        within = self.products - self.sums.T @ self.means
        covariance: npt.NDArray[np.float64] = within / self.counts.sum()
        return covariance

    def beside(self, other: Moments) -> Moments:
        """Of two classes: all of these windows, and all of those."""
        both = self, other
        return Moments(
            np.array([moments.counts.sum() for moments in both]),
            np.stack([moments.sums.sum(axis=0) for moments in both]),
            self.products + other.products,
        )
