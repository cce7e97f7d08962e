"""The nearest people."""

from __future__ import annotations

import numpy as np

from voxedge.gallery.search import ExactIndex


def test_the_nearest_rows_come_first():
    random = np.random.default_rng(0)
    rows, queries = (random.normal(size=(n, 6)).astype(np.float32) for n in (50, 4))
    found = ExactIndex(rows).search(queries, 3)
    np.testing.assert_allclose(found.everyone, queries @ rows.T, rtol=1e-5, atol=1e-6)
    for query, cosines, people in zip(queries, *found[:2], strict=True):
        order = sorted(range(50), key=lambda k: -float(rows[k] @ query))
        assert people.tolist() == order[:3]
        np.testing.assert_allclose(cosines, rows[people] @ query, rtol=1e-5)


def test_fewer_people_than_wanted():
    found = ExactIndex(np.eye(2, dtype=np.float32)).search(np.eye(2, dtype=np.float32)[:1], 5)
    assert found.people.tolist() == [[0, 1]]
    assert found.cosines.tolist() == [[1.0, 0.0]]


def test_of_equals_the_first_one_comes_first():
    rows = np.ones((3, 1), np.float32)
    assert ExactIndex(rows).search(rows[:1], 2).people.tolist() == [[0, 1]]
